"""Every option of every command is used, or refused with one line; and run folders lie where they are told to."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from cluster.hardware import EngineProfile, HardwareConfig, Node, NoRoom, plan
from pipelines.artifacts.run_folder import RunFolder, RunFolderError, plain_config
from pipelines.cli import VERBS, dispatch
from pipelines.config import RUNS_VARIABLE, GRPOConfig
from pipelines.errors import ConfigError
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.teacher_job_config import HardDistilConfig, SFTJobConfig
from pipelines.option_pages import configurations, page
from pipelines.options import RENAMED, is_used, leaves, load_yaml, option_keys, parse, renamed
from pipelines.remote.submit import SubmitConfig, submission
from pipelines.session import refuse_other_device, resolve_model
from pipelines.trace_data import TraceReport
from rollout.config import EngineConfig
from tests.known_models import write_config
from train.sft_config import SFTConfig

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("cluster", "pipelines", "problems", "rollout", "train", "verify")
JOBS = configurations()
NINE = {"grpo", "sweep", "evaluate", "distil", "sft", "hard-distil", "expert-iteration", "lrl", "undo"}
REFUSED = [(verb, key) for verb, model in JOBS.items() for key in model.unused]
OTHER_VALUES = {
    "batch_size": 7, "curriculum": {"schedule": "linear"}, "canary_bound": 0.5, "learner": {"cpus": 2.0}, "seed": 9,
    "parts": [{"procedural": {}}], "weights": {"coin_change": 2.0}, "reward": {"format_weight": 0.5}, "few_shot": 2,
    "shots": [{"question": "q", "answer": "a"}], "system": "be brief", "chat": True, "name": "mine", "runs": "there",
    "teacher": {"cpus": 2.0}, "engine": {"cpus": 2.0}, "profiles": [{"name": "own"}], "hidden_tests": 20,
    "public_examples": 1,
    "no_thinking": "fail", "prompts": "a_folder", "others": [{"model": "another"}], "share": 2.0,
    "require": ["overall >= 50"], "full": True, "push": "me/mine", "publish": {"public": True},
}  # fmt: skip
"""By the last part of a key: a value that is not the default."""


def main(verb):
    return importlib.import_module(VERBS[verb][0]).main


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """In an empty folder, where a run folder that should not be made would be seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(RUNS_VARIABLE, raising=False)


def refusal(verb, arguments, capsys):
    assert main(verb)(arguments) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line and not Path("runs").exists()
    return line


@pytest.mark.parametrize(("verb", "key"), REFUSED)
def test_an_option_that_a_command_does_not_use_is_refused_by_its_name(verb, key, capsys):
    section = functools.reduce(_field, key.split("."), JOBS[verb])
    leaf = key if not isinstance(section, type) else f"{key}.{next(iter(section.model_fields))}"
    for flag in (f"--{leaf}", f"--{leaf.replace('_', '-')}", f"--{leaf}=1"):
        line = refusal(verb, [flag] if "=" in flag else [flag, "1"], capsys)
        assert f"{leaf} has no effect here: " in line and JOBS[verb].unused[key] in line


@pytest.mark.parametrize(("verb", "key"), REFUSED)
def test_the_same_is_refused_in_a_configuration_file(verb, key, capsys, tmp_path):
    data = OTHER_VALUES[key.rpartition(".")[2]]
    for part in reversed(key.split(".")):
        data = {part: data}
    file = tmp_path / "given.yaml"
    file.write_text(yaml.safe_dump(data))
    assert f"{key} has no effect here: " in refusal(verb, ["--config", str(file)], capsys)


def test_every_job_has_its_options_tested():
    assert set(JOBS) >= NINE


@pytest.mark.parametrize("model", JOBS.values())
def test_what_a_run_folder_records_can_be_given_as_configuration_again(model, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(plain_config(model())))
    assert plain_config(load_yaml(model, file, check_unused=True)) == plain_config(model())


@pytest.mark.parametrize("verb", JOBS)
def test_every_other_option_is_read_by_the_code_of_its_command(verb):
    """By the attributes that are read in what a command imports, validators apart: checking a value uses nothing."""
    model = JOBS[verb]
    assert set(model.unused) <= set(option_keys(model)), "refused keys are keys"
    used = [k for k in option_keys(model) if not any(k == u or k.startswith(f"{u}.") for u in model.unused)]
    read = functools.reduce(set.union, map(attributes_read, closure(VERBS[verb][0])))
    unread = {key for key in used if key.rpartition(".")[2] not in read}
    assert not unread, f"nothing reads {sorted(unread)}: use them, or name them in {model.__name__}.unused"


def test_the_look_for_readers_can_fail(tmp_path):
    class Odd(GRPOConfig):
        never_read_by_anything: int = 0

    read = functools.reduce(set.union, map(attributes_read, closure(VERBS["grpo"][0])))
    assert {key for key in option_keys(Odd) if key.rpartition(".")[2] not in read} >= {"never_read_by_anything"}
    file = tmp_path / "one.py"
    file.write_text(
        "@model_validator(mode='after')\ndef check(self):\n    self.only_checked\nself.used\nself.set = 1\n"
    )
    assert attributes_read(file) == {"used"}


def _field(model, name):
    """The section or type of a field."""
    kind = model.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


@functools.cache
def closure(module: str) -> frozenset[Path]:
    """The project's files that a module imports, those that functions import, or `package_job`, included."""
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        path = ROOT / Path(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path in found or not path.is_file():
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "package_job":
                todo += [f"{name}.job", f"{name}.report"]
    return frozenset(found)


@functools.cache
def attributes_read(path: Path) -> set[str]:
    """Names of attributes that a file reads, by dot, by `getattr` or by `"name": ` lists, outside of validators."""
    names: set[str] = set()

    def visit(node):
        if isinstance(node, ast.FunctionDef) and any("validator" in ast.unparse(d) for d in node.decorator_list):
            return
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            names.add(node.attr)
        if isinstance(node, ast.Tuple):  # getattr over a tuple of names
            names.update(item.value for item in node.elts if isinstance(item, ast.Constant))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return {name for name in names if isinstance(name, str)}


def help_of(verb, arguments, capsys):
    """The options that a command's help names."""
    with pytest.raises(SystemExit) as ended:
        main(verb)(arguments)
    assert ended.value.code == 0
    return {key.replace("-", "_") for key in re.findall(r"(?m)^[^-\w]* --([a-z][\w.-]*)", capsys.readouterr().out)}


OWN = {"config", "resume", "or_resume"}


@pytest.mark.parametrize("verb", JOBS)
def test_help_is_short_and_all_options_can_be_seen(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    model = JOBS[verb]
    used = {key for key in leaves(model) if is_used(model, key)}
    everything = help_of(verb, ["--help-all"], capsys)
    assert everything - OWN == used
    common = help_of(verb, ["--help"], capsys)
    assert common < everything and len(common) < 80
    for section in {key.rpartition(".")[0] for key in used} - {""}:
        inner = {key for key in used if key.startswith(f"{section}.")}
        assert help_of(verb, ["--help", section], capsys) == inner


def test_the_page_of_all_options_is_up_to_date():
    given = (ROOT / "docs" / "options.md").read_text()
    assert given == page(configurations()), "write it again: crucible options > docs/options.md"
    for verb, model in JOBS.items():
        part = given.split(f"## crucible {verb}\n", 1)[1].split("\n## ", 1)[0]
        for key in (key for key in leaves(model) if "." not in key):
            assert f"| `{key}` |" in part
    for key in leaves(GRPOConfig):
        assert f"| `{key.rpartition('.')[2]}` |" in given


def test_a_command_may_be_written_in_american_too(capsys):
    assert dispatch(["distill", "--count", "0"]) == 2
    assert "count '0': Input should be greater than or equal to 1" in capsys.readouterr().err
    assert dispatch(["distl"]) == 2 and "did you mean distil" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (["--steps", "3"], "steps", 3),
        (["--steps=3", "--steps=4"], "steps", 4),
        (["--train.learning-rate", "1e-4"], "train.learning_rate", 1e-4),
        (["--train.gradient_checkpointing", "true"], "train.gradient_checkpointing", True),
        (["--problems.families", "lcs", "lis"], "problems.families", ("lcs", "lis")),
        (["--problems.families=lcs"], "problems.families", ("lcs",)),
        (["--problems.weights", "lcs", "2"], "problems.weights", {"lcs": 2.0}),
        (["--train.target-modules", "all-linear"], "train.target_modules", "all-linear"),
        (["--train.target-modules", "q_proj"], "train.target_modules", ("q_proj",)),
        (["--train.adam-betas", "0.9", "0.95"], "train.adam_betas", (0.9, 0.95)),
        (["--train.ema-decay", "None"], "train.ema_decay", None),
        (["--prompt.system", "None"], "prompt.system", "None"),
        (["--seed", "-1"], "seed", -1),
        (["--hardware.engine.fallbacks", "[{a: b}]"], "hardware.engine.fallbacks", ({"a": "b"},)),
        (["--verify.labels", "{a: b}"], "verify.labels", {"a": "b"}),
    ],
)
def test_words_become_values_as_yaml_would_have_them(arguments, key, value):
    config = parse(GRPOConfig, arguments, prog="")
    assert functools.reduce(getattr, key.split("."), config) == value


def test_a_file_changes_of_a_section_only_what_it_names(tmp_path):
    """The rest stays as the command has it, whose defaults may be others than the section's."""
    assert ExpertConfig().sft.val_share != SFTConfig().val_share
    (tmp_path / "c.yaml").write_text("sft: {patience: 1}\n")
    for arguments in (["--config", str(tmp_path / "c.yaml")], ["--sft.patience", "1"]):
        sft = parse(ExpertConfig, arguments, prog="").sft
        assert (sft.patience, sft.val_share) == (1, ExpertConfig().sft.val_share)


@pytest.mark.parametrize(
    ("key", "new"),
    [
        ("rollout.old", "rollout.new"),
        ("grpo.rollout.old", "grpo.rollout.new"),
        ("transfer", "sft"),
        ("transfer.lora_r", "sft.lora_r"),
        ("rollout.new", ""),
        ("old", ""),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(key, new, monkeypatch):
    monkeypatch.setattr("pipelines.options.RENAMED", {"rollout.old": "rollout.new", "transfer": "sft"})
    assert renamed(key) == new


@pytest.mark.parametrize("old", RENAMED)
def test_old_names_are_refused_wherever_they_are_given(old, capsys, tmp_path):
    new = RENAMED[old]
    verbs = [verb for verb, model in JOBS.items() if new in option_keys(model) and is_used(model, new)]
    assert verbs and not any(old in option_keys(model) for model in JOBS.values())
    for verb in verbs:
        flags = [f"--{name.replace('_', '-')}" for name in (old, new)]
        assert f"{flags[0]} is now {flags[1]}" in refusal(verb, [flags[0], "1"], capsys)
        data = 1
        for part in reversed(old.split(".")):
            data = {part: data}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(data))
        for arguments in (["--config", str(tmp_path / "config.yaml")], ["--resume", str(tmp_path)]):
            assert f"config.yaml: {old} is now {new}" in refusal(verb, arguments, capsys)


@pytest.mark.parametrize("how", ["environment", "option"])
@pytest.mark.parametrize("verb", JOBS)
def test_every_command_puts_its_run_folder_into_runs(verb, how, tmp_path, monkeypatch):
    """By CRUCIBLE_RUNS, as a submitted job gets it, or by --runs."""
    runs = tmp_path / "shared/runs"
    arguments = ["--name", "mine"]
    if how == "environment":
        monkeypatch.setenv(RUNS_VARIABLE, str(runs))
    else:
        monkeypatch.setenv(RUNS_VARIABLE, str(tmp_path / "another"))
        arguments += ["--runs", str(runs)]
    model = tmp_path / "model"
    write_config(model)
    if verb != "distil":
        arguments += ["--grpo.model" if verb == "sweep" else "--model", str(model)]
    if verb == "sft":
        monkeypatch.setattr("pipelines.jobs.sft.load_traces", lambda *given: ([], TraceReport()))
    made = []

    def create(path, config):
        made.append(Path(path))
        raise RunFolderError("made")

    monkeypatch.setattr(RunFolder, "create", create)
    assert main(verb)(arguments) == 2
    assert made == [runs / "mine"]


@pytest.mark.parametrize("verb", JOBS)
def test_submit_tells_every_job_where_run_folders_lie(verb):
    sent = submission(SubmitConfig(working_dir=ROOT, runs="/shared/runs"), [verb, "--name", "mine"])
    assert sent.settings == {RUNS_VARIABLE: "/shared/runs"}


def test_without_the_variable_runs_lie_in_runs(monkeypatch):
    monkeypatch.setenv(RUNS_VARIABLE, "")
    assert {model().runs for model in JOBS.values()} == {Path("runs")}


@pytest.mark.parametrize(
    ("settings", "on_gpu", "says"),
    [
        ({"gpu_memory_share": 0.8}, False, "engine.gpu_memory_share 0.8 has no effect on a CPU: set kv_cache_gib"),
        ({"enforce_eager": False}, False, "engine.enforce_eager False has no effect on a CPU"),
        ({"tensor_parallel": 2}, False, "engine.tensor_parallel 2 has no effect on a CPU"),
        ({"kv_cache_gib": 2.0}, True, "engine.kv_cache_gib 2.0 has no effect on a GPU: set gpu_memory_share"),
    ],
)
def test_an_option_of_the_other_device_is_refused(settings, on_gpu, says):
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        refuse_other_device(EngineConfig(**settings), on_gpu)
    refuse_other_device(EngineConfig(**settings), not on_gpu)


EIGHT = [Node("a", {"CPU": 16, "GPU": 8}, {})]


def test_an_engine_split_over_gpus_is_placed_on_as_many():
    (engine,), learner = plan(HardwareConfig(), EIGHT, engines=3, workers=2, tensor_parallel=2)
    assert (engine.count, engine.gpus, learner.gpus) == (3, 2.0, 1.0)
    profiles = (EngineProfile(name="big", tensor_parallel=4), EngineProfile(name="small"))
    fleet, _ = plan(HardwareConfig(profiles=profiles), EIGHT, engines=1, workers=1, tensor_parallel=2)
    assert [one.gpus for one in fleet] == [4, 2]
    with pytest.raises(NoRoom, match="no room"):
        plan(HardwareConfig(), EIGHT, engines=5, workers=1, tensor_parallel=2)
    with pytest.raises(NoRoom, match=r"hardware.engine.gpus 1 is not tensor_parallel 2"):
        plan(HardwareConfig(engine={"gpus": 1}), EIGHT, engines=1, workers=1, tensor_parallel=2)


@pytest.mark.parametrize(
    ("model", "settings", "says"),
    [
        (SweepConfig, {"grpo": {"evaluation": {"split": "val"}}}, "chooses the winner"),
        (HardwareConfig, {"engine": {"cpus": 1}, "profiles": [{"name": "a"}]}, "no effect beside hardware.profiles"),
        (SFTJobConfig, {"prompt": {"few_shot": 2}, "style": "think"}, "answers without thoughts"),
        (HardDistilConfig, {"prompt": {"few_shot": 2}}, "answers without thoughts"),
    ],
)
def test_an_option_without_effect_beside_the_others_is_refused(model, settings, says):
    with pytest.raises(ValueError, match=says):
        model(**settings)


@pytest.mark.parametrize(
    ("verb", "arguments", "says"),
    [
        ("sweep", ["--trials", "3"], "trials has no effect with search grid"),
        ("sweep", ["--seed=3"], "seed has no effect with search grid"),
        ("sweep", ["--scheduler", "none", "--reduction", "3"], "reduction has no effect with scheduler none"),
        ("sweep", ["--grace-steps", "5", "--scheduler", "none"], "grace_steps has no effect with scheduler none"),
        ("sft", ["--max-tokens", "99"], "max_tokens has no effect with evaluate False"),
        ("sft", ["--evaluation.samples", "2"], "evaluation.samples has no effect with evaluate False"),
        ("sft", ["--hardware.engine.cpus", "2"], "hardware.engine.cpus has no effect with evaluate False"),
    ],
)
def test_an_option_on_the_command_line_that_another_switches_off_is_refused(verb, arguments, says, capsys):
    assert says in refusal(verb, arguments, capsys)


def test_examples_are_drawn_from_problems_also_where_nothing_is_measured():
    words = ["--traces", "t", "--prompt.few-shot", "2", "--problems.families", "rpn"]
    assert parse(SFTJobConfig, words, prog="").problems.families == ("rpn",)


def test_a_configuration_file_may_hold_what_an_option_switches_off():
    file = ROOT / "pipelines/configs/sweep.yaml"
    assert parse(SweepConfig, ["--config", str(file), "--scheduler", "none"], prog="").grace_steps == 5
    student = ROOT / "pipelines/configs/sft_student.yaml"
    assert parse(SFTJobConfig, ["--config", str(student), "--evaluate", "True"], prog="").max_tokens == 160


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "it has no config.json"),
        (["adapter_config.json"], "it has no config.json"),
        (["config.json", "adapter_config.json"], "an adapter beside a model"),
    ],
)
def test_a_model_folder_is_one_model(files, says, tmp_path):
    """transformers would load the base that an adapter's configuration names, and vLLM the model beside it."""
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match=says):
        resolve_model(str(tmp_path))
