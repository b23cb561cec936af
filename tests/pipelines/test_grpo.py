"""The main job as people run it: the real command, real engines, sandbox and learner, on a student made for tests."""

import json
import re
import signal
from collections import Counter

import pyarrow.parquet as pq
import pytest
from job import crucible, grpo, rows, start, steps, wait_for_step

from tests.processes import titled

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole_run(tiny_student, runs, ray_local):
    """Six synchronous steps without interruption."""
    required = ["--require", "before overall >= 0", "every family >= 0", "reverse_string > 100"]
    output = crucible(*grpo(tiny_student, runs, "whole", "--steps=6", *required), status=(3,))
    return runs / "whole", output


def test_a_run_leaves_what_people_look_at(whole_run):
    folder, output = whole_run
    assert [row["step"] for row in steps(folder)] == [1, 2, 3, 4, 5, 6]
    assert sum(row["grad_norm"] > 0 for row in steps(folder)) >= 4, "a run without updates would prove nothing"
    assert {row["name"] for row in rows(folder) if row["kind"] == "evaluation"} == {"before", "after"}
    assert "held-out pass@1" in output and "95 % interval" in output
    assert "not met: reverse_string > 100" in output
    (checked,) = [row for row in rows(folder) if row["kind"] == "conditions"]
    assert [(result["condition"], result["met"]) for result in checked["results"]] == [
        ("before overall >= 0", True), ("is_palindrome >= 0", True), ("reverse_string >= 0", True),
        ("reverse_string > 100", False),
    ]  # fmt: skip
    assert (folder / "report.html").stat().st_size > 10_000
    table = pq.read_table(folder / "samples" / "step-000003.parquet")
    assert table.num_rows == 16 and {"completion", "status", "reward", "policy_version"} <= set(table.column_names)
    assert json.loads((folder / "ledger.json").read_text())["low_water"] == 24


def test_sampler_and_learner_agree_on_every_step(whole_run):
    folder, _ = whole_run
    for row in steps(folder):
        assert row["publish/canary_gap"] < 1e-4
        assert row["staleness_max"] == 0
        if row["groups/kept"]:
            assert row["logprob_gap/fresh_max"] < 1e-4


def samples(folder):
    """Every trained sample: (step, number in the stream, completion)."""
    found = []
    for path in sorted((folder / "samples").glob("step-*.parquet")):
        table = pq.read_table(path).to_pylist()
        found += [(row["step"], row["sequence"], row["completion"]) for row in table]
    return found


def adapter(folder):
    """Bytes of the newest adapter."""
    newest = max((folder / "checkpoints").iterdir())
    return (newest / "adapter" / "adapter_model.safetensors").read_bytes()


EXACT = ("step", "loss", "reward", "pass_rate", "grad_norm", "entropy", "completion_length", "groups_informative")


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tiny_student, runs, whole_run):
    cut = runs / "cut"
    process = start(*grpo(tiny_student, runs, "cut", "--steps=6"))
    wait_for_step(cut, 3, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert f"--resume {cut}" in output.replace("\n", "")
    assert 3 <= len(steps(cut)) < 6

    crucible("grpo", "--resume", cut)
    whole = whole_run[0]
    assert [{k: row[k] for k in EXACT} for row in steps(cut)] == [{k: row[k] for k in EXACT} for row in steps(whole)]
    assert samples(cut) == samples(whole)
    assert adapter(cut) == adapter(whole)
    assert (cut / "ledger.json").read_text() == (whole / "ledger.json").read_text()
    finals = [[row for row in rows(f) if row["kind"] not in ("step", "conditions")] for f in (cut, whole)]
    assert finals[0] == finals[1], "evaluations and their difference"
    tables = [pq.read_table(f / "samples" / "evaluation-after.parquet", columns=["completion"]) for f in (cut, whole)]
    assert sorted(tables[0]["completion"].to_pylist()) == sorted(tables[1]["completion"].to_pylist())


AVERAGED = ["--rollout.ema-samples=1", "--train.ema-decay=0.9"]


@pytest.mark.slow
def test_killed_actors_lose_nothing(tiny_student, runs):
    folder = runs / "killed"
    process = start(*grpo(tiny_student, runs, "killed", "--steps=9", "--rollout.max-staleness=1", *AVERAGED))
    for step, title in ((2, "EngineActor"), (4, "JudgeStage"), (6, "RayTrainWorker")):
        wait_for_step(folder, step, process)
        victims = titled(title, process.pid)
        assert victims, f"no process of {title}"
        for victim in victims:
            victim.kill()
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output

    assert [row["step"] for row in steps(folder)] == list(range(1, 10))
    consumed = Counter((step, sequence) for step, sequence, _ in samples(folder))
    assert len(consumed) == 9 * 4 and set(consumed.values()) == {4}, "every group whole"
    numbers = sorted(sequence for _, sequence in consumed)
    assert len(set(numbers)) == len(numbers), "no problem twice"
    ledger = json.loads((folder / "ledger.json").read_text())
    assert numbers == sorted([*range(ledger["low_water"]), *ledger["above"]]), "none lost"
    assert all(row["staleness_max"] <= 1 for row in steps(folder))
    for path in (folder / "samples").glob("step-*.parquet"):
        drawn = [row["averaged"] for row in pq.read_table(path, columns=["averaged"]).to_pylist()]
        assert drawn == [False, False, False, True] * 4, "engines that came back have the average too"
    assert all(row["publish/canary_gap"] < 1e-4 for row in steps(folder))
    log = (folder / "log.txt").read_text()
    assert "the learner was started again" in log
    # One that dies amid a publication is out until it has the policy; one that dies between two asks for it itself.
    assert re.search("engine number 0 of 1 is back, with the current policy|engine-0 was started again", log)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rollot.engines=2"], "rollout"),
        (["--train.lora-r=600"], "between 1 and 512|less than or equal to 512"),
        (["--rollout.group-size=1"], "use 2 or more"),
        (["--problems.families", "coin_chang"], "coin_change"),
        (["--model", "/no/such/folder"], "no model folder"),
        (["--model", "Qwen/No-Such-Model-0.5B"], "no model|cannot be reached"),
        (["--hardware.device=gpu"], "hardware.device"),
        (["--config", "/no/such.yaml"], "no configuration file"),
        (["--resume", "/no/such/run"], "holds no run to resume"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(tiny_student, tmp_path, arguments, says):
    given = arguments if "--model" in arguments else ["--model", tiny_student, *arguments]
    output = crucible("grpo", "--runs", tmp_path, "--name", "bad", *given, status=(1, 2))
    assert re.search(says, output), output
    assert not list(tmp_path.rglob("*.parquet"))


def test_unknown_keys_of_a_file_are_named_with_the_nearest(tiny_student, tmp_path):
    (tmp_path / "c.yaml").write_text("rollout:\n  group_sise: 4\n")
    output = crucible("grpo", "--config", tmp_path / "c.yaml", status=(2,))
    assert "rollout.group_sise" in output and "did you mean rollout.group_size" in output


def test_a_folder_of_another_configuration_is_left_alone(tiny_student, runs, whole_run):
    before = (whole_run[0] / "metrics.jsonl").read_bytes()
    output = crucible(*grpo(tiny_student, runs, "whole", "--steps=7"), status=(2,))
    assert "steps" in output and "whole" in output
    assert (whole_run[0] / "metrics.jsonl").read_bytes() == before
