"""Sweeps: what is varied is understood or refused, results are told with their uncertainty, and a real one runs."""

import json
import math
import signal
import time
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml
from job import SMALL, crucible, start
from pages import figures_of

from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import GRPOConfig
from pipelines.errors import ConfigError
from pipelines.jobs.sweep import _check_scheduler, _tune_config
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.sweep.results import Interval, Trial, settings_of
from pipelines.jobs.sweep.space import Axis, check_space, configure, parse_space
from pipelines.jobs.sweep.trial import Reporter, adopt, trial_config
from pipelines.options import load_yaml


def test_axes_are_read_as_written():
    axes = parse_space(["beta=0,0.05", "num_generations=4,8", "lr=loguniform(1e-4,1e-2)", "train.loss=grpo,dapo"])
    assert [axis.key for axis in axes] == ["train.beta", "rollout.group_size", "train.learning_rate", "train.loss"]
    assert axes[0].choices == (0, 0.05) and axes[1].choices == (4, 8) and axes[3].choices == ("grpo", "dapo")
    assert axes[2] == Axis("train.learning_rate", (), "loguniform", 1e-4, 1e-2)
    assert parse_space(["lora_r=randint(4,17)"])[0].largest == 16
    assert parse_space(["lr=1e-3,1e-2"])[0].choices == (1e-3, 1e-2)


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ([], "nothing to vary"),
        (["beta"], "KEY=VALUES"),
        (["betta=1,2"], "did you mean beta"),
        (["beta=0", "train.beta=1"], "names train.beta twice"),
        (["lr=normal(0,1)"], "the ranges are"),
        (["lr=loguniform(0,1)"], "above 0"),
        (["lr=uniform(2,1)"], "less than"),
        (["seed=1,2"], "--seeds"),
        (["train.seed=1,2"], "--seeds"),
        (["num_generations=1,4"], "use 2 or more"),
        (["lora_r=8,600"], "512"),
        (["train.loss=grpo,ppo"], "train.loss"),
    ],
)
def test_a_space_that_cannot_be_run_is_refused_before_anything_starts(space, says):
    with pytest.raises(ConfigError, match=says):
        check_space(parse_space(space), GRPOConfig())


def test_each_seed_gives_every_trial_other_first_weights(tmp_path):
    seeds = [
        trial_config(SweepConfig(), tmp_path, "t", {"seed": seed, "train.beta": 0.05}).learner.seed for seed in (3, 4)
    ]
    assert seeds == [3, 4]


def test_schedulers_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="adapter's shape"):
        _check_scheduler(SweepConfig(scheduler="pbt", search="random"), parse_space(["lora_r=4,8"]))
    with pytest.raises(ConfigError, match="is a range"):
        _check_scheduler(SweepConfig(), parse_space(["lr=uniform(0,1)"]))
    with pytest.raises(ValueError, match="no report would"):
        SweepConfig(grace_steps=7, report_every=5)
    with pytest.raises(ValueError, match="one seed"):
        SweepConfig(search="optuna", seeds=(0, 1))


def test_a_setting_is_put_into_the_configuration_where_it_belongs():
    config = configure(GRPOConfig(), {"train.beta": 0.1, "rollout.group_size": 4, "seed": 3})
    assert (config.train.beta, config.rollout.group_size, config.seed) == (0.1, 4, 3)


def trial(beta, seed, val=None, steps=10):
    measured = {"value": val, "low": val - 0.1, "high": val + 0.1} if val is not None else None
    status = "stopped" if val is None else "finished"
    return Trial(f"t{beta}{seed}", {"train.beta": beta}, seed, status, "", steps, (0.1,) * steps, measured)


def test_settings_are_ranked_by_held_out_skill_and_compared_seed_by_seed():
    trials = [trial(b, s, v) for b, s, v in [(0.1, 0, 0.30), (0.1, 1, 0.34), (0.0, 0, 0.40), (0.0, 1, 0.46)]]
    best, second, stopped = settings_of([*trials, trial(0.5, 0, steps=4), trial(0.5, 1, steps=2)])
    assert best.name == "beta=0" and best.behind is None and best.val.value == pytest.approx(0.43)
    assert second.behind.value == pytest.approx(-0.11)
    # Student's interval of two differences -0.10 and -0.12: t(0.975, 1) = 12.706, standard error 0.01.
    assert second.behind.low == pytest.approx(-0.11 - 0.12706, abs=1e-4)
    assert stopped.val is None and stopped.behind is None


def test_a_trial_reports_its_last_step_with_its_measurement(tmp_path):
    """ASHA has a rung at the last step: a report there without the measurement could end the trial unmeasured."""
    sent = []
    config = SweepConfig(report_every=2, grace_steps=2, grpo=GRPOConfig(steps=4))
    folder = RunFolder.create(tmp_path / "t", config.grpo)
    reporter = Reporter(config, config.grpo, folder, sent.append)
    for step, rate in enumerate((0.1, 0.3, 0.5, 0.7), 1):
        reporter.step({"step": step, "pass_rate": rate})
    assert [(row["step"], row["score"]) for row in sent] == [(2, pytest.approx(0.2))]
    measured = SimpleNamespace(steps=4, after=SimpleNamespace(pass_at=lambda k: SimpleNamespace(value=0.6)))
    reporter.end(measured)
    assert sent[-1] == {"step": 4, "score": pytest.approx(0.6), "val_pass_at_1": 0.6}


def test_one_seed_gives_no_interval():
    interval = Interval.of([0.4])
    assert math.isnan(interval.low) and str(interval) == "40.0 %"


def test_another_trials_checkpoint_becomes_the_newest(tmp_path):
    for run, step in (("donor", "000010"), ("mine", "000005"), ("mine", "000015")):
        folder = tmp_path / run / "checkpoints" / step
        folder.mkdir(parents=True)
        (folder / "checkpoint.json").write_text(run)
    adopt(tmp_path / "donor" / "checkpoints" / "000010", tmp_path / "mine")
    own = list((tmp_path / "mine" / "checkpoints").iterdir())
    assert [path.name for path in own] == ["000010"]
    assert (own[0] / "checkpoint.json").read_text() == "donor"
    adopt(own[0], tmp_path / "mine")
    assert own[0].is_dir(), "its own checkpoint is left where it is"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_sweep_goes_on_and_every_trial_ends(tiny_student, tmp_path, ray_local):
    """Two trials at once on one engine, a third to come; SIGKILL in the middle; the resumed sweep repeats no step."""
    small = [f"--grpo.{argument.removeprefix('--')}" if argument.startswith("--") else argument for argument in SMALL]
    sweep = tmp_path / "sweep"
    command = [
        *("sweep", "--name", "sweep", "--runs", tmp_path, "--grpo.model", tiny_student, "--grpo.steps=4"),
        *("--space", "lora_r=4,8,16", "--report-every=2", "--concurrency=2"),
        *("--scheduler=none", *small),
    ]
    process = start(*command, start_new_session=True)
    deadline = time.monotonic() + 300
    while not list((sweep / "trials").glob("*/checkpoints/000002")):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.parent.name: path.read_text().count('"kind": "step"') for path in sweep.glob("trials/*/metrics.jsonl")}

    output = crucible("sweep", "--resume", sweep)
    assert "best setting" in output and "val pass@1" in output
    table = pq.read_table(sweep / "results.parquet").to_pylist()
    assert (
        len(table) == 3 and {row["status"] for row in table} == {"finished"} and {row["steps"] for row in table} == {4}
    )
    assert {row["train.lora_r"] for row in table} == {4, 8, 16}
    assert set(done) <= {row["trial"] for row in table}, "a trial that had begun is the same one after the resume"
    rows = [json.loads(line) for line in (sweep / "trials" / max(done) / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "step"] == [1, 2, 3, 4]
    hashes = {name for p in sweep.glob("trials/*/samples/step-000004.parquet")
              for name in pq.read_table(p, columns=["adapter_hash"])["adapter_hash"].to_pylist()}  # fmt: skip
    assert len(hashes) == 3, "each trial sampled from its own adapter"
    assert yaml.safe_load((sweep / "best.yaml").read_text())["train"]["lora_r"] in (4, 8, 16)
    assert load_yaml(GRPOConfig, sweep / "best.yaml").steps == 4
    assert set(figures_of((sweep / "report.html").read_text())) == {"curves", "parallel"}


@pytest.mark.parametrize(
    ("search", "scheduler", "space"),
    [
        ("random", "asha", ["beta=0,0.1", "lr=loguniform(1e-4,1e-2)"]),
        ("optuna", "none", ["beta=uniform(0,0.1)", "num_generations=4,8"]),
        pytest.param("random", "pbt", ["lr=loguniform(1e-4,1e-2)"], marks=pytest.mark.slow),
    ],
)
def test_every_search_and_scheduler_runs_trials_of_valid_settings(ray_local, tmp_path, search, scheduler, space):
    """Ray Tune itself, with a trial that only pretends to learn: the larger its first value, the better its score."""
    from ray import tune

    axes = parse_space(space)
    config = SweepConfig(
        search=search, scheduler=scheduler, space=space, trials=4, report_every=2, grace_steps=2, concurrency=2,
        grpo=GRPOConfig(steps=8),
    )  # fmt: skip

    def pretend(values):
        import json
        import tempfile
        from pathlib import Path

        from ray import tune

        start, given = 0, tune.get_checkpoint()
        if given is not None:
            with given.as_directory() as folder:
                start = json.loads((Path(folder) / "step").read_text())
        for step in range(start + 2, 9, 2):
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "step").write_text(str(step))
                checkpoint = tune.Checkpoint.from_directory(folder)
                tune.report({"step": step, "score": step * next(iter(values.values()))}, checkpoint=checkpoint)

    trainable = tune.with_resources(pretend, {"CPU": 0.01})
    param_space = {axis.key: axis.domain(grid=False) for axis in axes}
    run_config = tune.RunConfig(name="t", storage_path=str(tmp_path), verbose=0)
    tuner = tune.Tuner(
        trainable, param_space=param_space, tune_config=_tune_config(config, axes), run_config=run_config
    )
    results = tuner.fit()
    assert len(results) == 4 and not results.errors
    for result in results:
        configure(GRPOConfig(), result.config)
    assert max(result.metrics["step"] for result in results) == 8
