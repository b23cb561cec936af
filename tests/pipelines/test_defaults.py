"""Options that nobody sets follow from model, hardware and job; what is set wins; what was filled is recorded."""

import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from cluster.devices import described
from cluster.hardware import plan
from cluster.model_shapes import ModelShapes
from pipelines import defaults
from pipelines.config import GRPOConfig
from pipelines.defaults import fill, read_shapes
from pipelines.errors import ConfigError
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.teacher_job_config import HardDistilConfig, SFTJobConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.option_pages import configurations
from pipelines.options import parse
from pipelines.plan import report, student_shapes
from problems.auto import unset
from tests.known_models import FOUR, GEMMA3_270M, QWEN3_06B, QWEN3_4B, STUDENT, write_config
from tests.pipelines import tenth_job
from tests.plan_page import page

ROOT = Path(__file__).resolve().parents[2]
ONE, EIGHT = described("H100"), described("H100:8")
TWO_CORES = described("", cpus=2, memory=23 << 30)
JOBS = {verb: model for verb, model in configurations().items() if verb != "distil"}
OTHER_DEVICE = {ONE: ["kv_cache_gib"], TWO_CORES: ["gpu_memory_share", "tensor_parallel"]}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Sizes of models by name, read from folders."""
    models = {**FOUR, "student": STUDENT}
    return {n: read_shapes(str(write_config(tmp_path_factory.mktemp(n) / n, keys))) for n, keys in models.items()}


def part_of(verb):
    return "grpo" if verb == "sweep" else ""


def at(config, key):
    for name in key.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize("hardware", [ONE, TWO_CORES], ids=str)
@pytest.mark.parametrize("verb", JOBS)
def test_every_job_fills_all_that_it_uses(verb, hardware, shapes):
    arguments = ["--evaluate", "True"] if verb == "sft" else []
    config = parse(JOBS[verb], arguments, prog="")
    filled = fill(config, part_of(verb), shapes["Qwen3-0.6B"], hardware)
    # Without a teacher on engines these have none to be filled for.
    left = {key.rpartition(".")[2] for key in unset(filled.config) if not key.startswith("teacher.")}
    assert left == set(OTHER_DEVICE[hardware])
    rates = [key for key in unset(config) if key.endswith("learning_rate")]
    assert bool(rates) == (verb != "evaluate")
    assert all(at(filled.config, key) <= 5e-4 for key in rates)


@pytest.mark.parametrize("verb", ["grpo", "sweep", "hard-distil"])
def test_a_quantised_learner_is_refused_before_anything_starts(verb, shapes, monkeypatch):
    section = f"{part_of(verb)}.".lstrip(".")
    arguments = [f"--{section}train.quantise", "nf4"]
    arguments += ["--space", "lora_r=4,8"] if verb == "sweep" else []
    for hardware, refusal in ((ONE, "needs bitsandbytes, which is not installed"), (TWO_CORES, "is for GPUs")):
        filled = fill(parse(JOBS[verb], arguments, prog=""), part_of(verb), shapes["Qwen3-0.6B"], hardware)
        nodes, own = hardware.nodes(), filled.config.grpo if section else filled.config
        fleet, learner = plan(own.hardware, nodes, *filled.counts)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        monkeypatch.setattr(defaults, "session_hardware", lambda nodes, of=hardware: of)
        with pytest.raises(ConfigError, match=f"train.quantise nf4 {refusal}"):
            filled.announce(Console(quiet=True))(fleet, learner, nodes)
        monkeypatch.undo()


OWN = {
    LRLConfig: {"sft.lora_r": 8, "sft.lora_alpha": 16.0, "sft.learning_rate": 2e-4, "sft.batch_size": 8},
    UndoConfig: {"sft.lora_r": 16, "sft.learning_rate": 1e-3, "sft.batch_size": 8, "max_tokens": 192},
    ExpertConfig: {
        "sft.learning_rate": 1e-3, "sft.batch_size": 8, "dpo.learning_rate": 2e-4, "max_tokens": 160,
        "engine.max_model_len": 512, "engine.max_sequences": 128,
    },
    SFTJobConfig: {"sft.learning_rate": 2e-4, "sft.batch_size": 1, "sft.grad_accumulation": 8, "max_tokens": 512},
    HardDistilConfig: {"sft.lora_r": 16, "train.lora_r": 16, "train.learning_rate": 3e-3, "rollout.group_size": 8},
}  # fmt: skip


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.__name__)
def test_the_default_student_keeps_every_jobs_figures(model, shapes):
    filled = fill(parse(model, [], prog=""), "", shapes["student"], TWO_CORES).config
    assert {key: at(filled, key) for key in OWN[model]} == OWN[model]


@pytest.mark.parametrize("model", [GRPOConfig, SweepConfig])
def test_the_default_student_keeps_all_of_grpo(model, shapes):
    part = "grpo" if model is SweepConfig else ""
    filled = fill(parse(model, [], prog=""), part, shapes["student"], TWO_CORES).config
    assert filled.model_dump() == model().model_dump(), "what the code holds is the default student's"


def test_the_default_students_sizes_are_those_of_its_recipe(shapes):
    assert student_shapes().total_parameters == shapes["student"].total_parameters


def test_what_is_set_wins_wherever_it_is_set_and_auto_undoes_a_file(tmp_path, shapes):
    file = tmp_path / "c.yaml"
    file.write_text("train: {learning_rate: 0.001, lora_r: 8}\nrollout: {engine: {max_sequences: auto}}\n")
    given = ["--config", str(file), "--train.lora-r", "auto", "--rollout.group-size", "4"]
    config = parse(GRPOConfig, given, prog="")
    assert "train.learning_rate" not in list(unset(config)) and "train.lora_r" in list(unset(config))
    filled = fill(config, "", shapes["Qwen3-4B"], ONE)
    train, rollout = filled.config.train, filled.config.rollout
    assert (train.learning_rate, train.lora_r, train.lora_alpha) == (1e-3, 32, 64.0)
    assert (rollout.group_size, rollout.groups_per_step, rollout.engine.max_sequences) == (4, 16, 256)


@pytest.mark.parametrize("name", ["student", "Qwen3-4B"])
@pytest.mark.parametrize(
    ("model", "given", "reference"),
    [
        (GRPOConfig, [], "base"),
        (GRPOConfig, ["--adapter", "a"], "start"),
        (GRPOConfig, ["--adapter", "a", "--train.beta", "0.04"], "start"),
        (GRPOConfig, ["--adapter", "a", "--train.beta", "0.04", "--train.reference", "base"], "base"),
        (SweepConfig, ["--grpo.adapter", "a"], "start"),
        (HardDistilConfig, [], "start"),
    ],
)
def test_the_kl_is_to_the_adapter_that_a_run_goes_on_from(model, given, reference, name, shapes):
    part = "grpo" if model is SweepConfig else ""
    filled = fill(parse(model, given, prog=""), part, shapes[name], ONE)
    assert at(filled.config, f"{part}.train".lstrip(".")).reference == reference
    learner, *_ = [t for t in _placed(filled, ONE) if t.role == "learner"]
    held = "0.04" in given and reference == "start"
    rank = filled.config.train.lora_r if part == "" else filled.config.grpo.train.lora_r
    assert learner.need.of("reference") == held * 4 * shapes[name].lora_parameters(rank)


def _placed(filled, hardware):
    part = getattr(filled.config, "grpo", filled.config)
    fleet, learner = plan(part.hardware, hardware.nodes(), *filled.counts, filled.tensor_parallel)
    return filled.place(fleet, learner, hardware)


def test_float16_is_for_gpus_and_for_models_that_stand_it(shapes):
    turing = described("T4")
    config = parse(GRPOConfig, ["--train.dtype", "float16"], prog="")
    half = fill(config, "", shapes["Qwen3-0.6B"], turing)
    (learner,) = [t for t in _placed(half, turing) if t.role == "learner"]
    assert half.config.train.dtype == "float16" and half.config.rollout.engine.dtype == "float16"
    whole = fill(GRPOConfig(), "", shapes["Qwen3-0.6B"], turing)
    (usual,) = [t for t in _placed(whole, turing) if t.role == "learner"]
    assert whole.config.train.dtype == "float32" and learner.need.of("weights") == usual.need.of("weights") // 2
    with pytest.raises(ConfigError, match=r"gemma.* overflows in float16: set train\.dtype"):
        _placed(fill(config, "", ModelShapes.from_config(GEMMA3_270M, "gemma-3"), turing), turing)
    for given in (["--train.dtype", "float16"], ["--rollout.engine.dtype", "float16"]):
        with pytest.raises(ConfigError, match=rf"{given[0][2:]} float16 is for GPUs"):
            _placed(fill(parse(GRPOConfig, given, prog=""), "", shapes["student"], TWO_CORES), TWO_CORES)
    kinds = GRPOConfig(hardware={"profiles": [{"name": "quick", "dtype": "float16"}]})
    with pytest.raises(ConfigError, match="dtype of quick float16 is for GPUs"):
        _placed(fill(kinds, "", shapes["student"], TWO_CORES), TWO_CORES)


def test_a_reference_without_a_kl_is_refused_unless_the_kl_is_what_varies():
    for model, prefix in ((GRPOConfig, ""), (HardDistilConfig, ""), (SweepConfig, "grpo.")):
        given = [f"--{prefix}train.reference", "base"]
        given += ["--space", "lr=1e-3,1e-2"] if prefix else []
        with pytest.raises(ConfigError, match=rf"{prefix}train.reference has no effect with {prefix}train.beta 0"):
            parse(model, given, prog="")
        parse(model, [*given, f"--{prefix}train.beta", "0.1"], prog="")
    parse(SweepConfig, ["--grpo.train.reference", "base", "--space", "beta=0,0.05"], prog="")


def _dumped(config, folder):
    path = folder / "all.yaml"
    path.write_text(yaml.safe_dump(json.loads(config.model_dump_json())))
    return str(path)


def test_a_file_of_another_run_is_taken_as_it_is(tmp_path, shapes):
    """With the model's figures that it records, whatever the model is now."""
    config = fill(parse(GRPOConfig, [], prog=""), "", shapes["Qwen3-4B"], ONE).config
    again = parse(GRPOConfig, ["--config", _dumped(config, tmp_path)], prog="")
    assert fill(again, "", shapes["Qwen3-0.6B"], ONE).config.train == config.train


def test_a_stage_that_has_the_shape_of_another_takes_it_from_there(shapes):
    config = parse(HardDistilConfig, ["--sft.lora-r", "64"], prog="")
    filled = fill(config, "", shapes["Qwen3-4B"], ONE).config
    assert (filled.train.lora_r, filled.train.lora_alpha) == (64, filled.sft.lora_alpha) == (64, 128.0)


def test_kinds_of_engines_in_a_file_get_what_they_leave_open(tmp_path, shapes):
    (tmp_path / "c.yaml").write_text("hardware: {profiles: [{name: slow, accelerator: L4, count: 2, dtype: float16}]}")
    config = parse(GRPOConfig, ["--config", str(tmp_path / "c.yaml")], prog="")
    (profile,) = fill(config, "", shapes["Qwen3-4B"], described("H100,A100@40,L4:2")).config.hardware.profiles
    assert (profile.name, profile.count, profile.dtype, profile.gpu_memory_share) == ("slow", 2, "float16", 0.9)
    assert profile.max_sequences == 64 and profile.max_model_len == 4096


def test_suites_of_reasoning_get_room_for_it(shapes):
    short = fill(parse(JOBS["evaluate"], [], prog=""), "", shapes["Qwen3-4B"], EIGHT).config
    long = fill(
        parse(JOBS["evaluate"], ["--suites", "math500", "gsm8k"], prog=""), "", shapes["Qwen3-4B"], EIGHT
    ).config
    assert (short.max_tokens, long.max_tokens, long.engines) == (1024, 2048, 8)


def test_what_does_not_fit_is_refused_in_the_jobs_own_words(shapes):
    given = ["--engine.gpu-memory-share", "0.05"]
    with pytest.raises(ConfigError, match=r"(?<!rollout\.)engine\.gpu_memory_share 0\.05 .* use 0\.\d+ or more"):
        fill(parse(JOBS["evaluate"], given, prog=""), "", shapes["Qwen3-4B"], ONE)


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"hidden_size": "large"}'])
def test_a_model_of_unknown_sizes_is_one_line(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError) as error:
        read_shapes(str(tmp_path))
    assert "config.json" in str(error.value) and "\n" not in str(error.value)


def test_a_resumed_run_uses_what_was_recorded(tmp_path, monkeypatch, capsys):
    model = write_config(tmp_path / "model", QWEN3_06B)
    arguments = ["--model", model, "--runs", tmp_path / "runs", "--name", "mine", "--evaluation.problems", "2"]
    recorded = tmp_path / "runs" / "mine" / "config.yaml"
    monkeypatch.setattr(defaults, "hardware_now", lambda address: ONE)
    assert tenth_job.main([str(word) for word in arguments]) == 0
    before = yaml.safe_load(recorded.read_text())
    assert (before["engine"]["max_sequences"], before["engine"]["gpu_memory_share"]) == (256, 0.9)
    monkeypatch.setattr(defaults, "hardware_now", lambda address: described("GeForce-RTX-4090"))
    for how in (["--or-resume", *arguments], ["--resume", tmp_path / "runs" / "mine"]):
        assert tenth_job.main([str(word) for word in how]) == 0, capsys.readouterr()
        assert yaml.safe_load(recorded.read_text()) == before
    other = [*arguments[:-3], "other", *arguments[-2:]]
    assert tenth_job.main([str(word) for word in other]) == 0
    new = yaml.safe_load((tmp_path / "runs" / "other" / "config.yaml").read_text())
    assert new["engine"]["max_sequences"] <= 256


# --- crucible plan


def test_the_page_of_plans_is_up_to_date():
    assert (ROOT / "docs" / "plan.md").read_text() == page(), "write it again: python -m tests.plan_page > docs/plan.md"


def test_a_plan_of_each_job_names_its_own_options(tmp_path):
    model = str(write_config(tmp_path / "Qwen3-4B", QWEN3_4B))
    for verb in JOBS:
        model_option = ["--grpo.model" if verb == "sweep" else "--model", model]
        text = report([verb, *model_option, "--gpus", "H100:8"])
        assert text.startswith("Qwen3-4B: 4.02 B") and "GPU 0" in text and "Placement: " in text
        options = {line.split()[0] for line in text.partition("Defaults")[2].splitlines()[1:] if line.startswith("  ")}
        assert options - {"hardware.profiles"} <= set(defaults.marked(JOBS[verb])), verb


def test_a_plan_warns_of_a_rate_that_is_too_high(tmp_path):
    model = str(write_config(tmp_path / "model", QWEN3_06B))
    text = report(["--model", model, "--gpus", "H100", "--train.learning-rate", "0.003"])
    assert "Warning: train.learning_rate 0.003 is above 0.0005" in text and "set by you" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["grop"], "there is no job grop to plan; did you mean grpo?"),
        (["--gpus", "H1000"], "the memory of a H1000 is not known; write H1000@GIB:1"),
        (["--gpus", "H100:0"], "'H100:0' is no GPU; write KIND:COUNT"),
        (["--gpus", "X@.:2"], "is no number of GiB"),
        (["--memory", "much"], "--memory"),
        (["--gpus", "H100", "--steps", "0"], "steps"),
        (["--gpus", "T4", "--rollout.engines", "40"], "no room"),
    ],
)
def test_a_plan_that_cannot_be_made_is_one_line(arguments, says, capsys):
    from pipelines.plan import main

    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
