"""UNDO that trains all weights: which model is trained from, asked and kept, and one real run of it."""

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from fresh_model import write_model
from job import crucible, rows
from known_models import QWEN3_06B
from rich.console import Console
from safetensors.torch import load_file
from servers import Front
from undo_scripted import ScriptedStudent, ScriptedTeacher, config

from cluster.devices import described
from cluster.hardware import Demand, plan
from cluster.model_shapes import ModelShapes
from pipelines import session as sessions
from pipelines import student_runner as students
from pipelines.defaults import fill
from pipelines.errors import ConfigError
from pipelines.fine_tuning import OUTCOME_FILE
from pipelines.job import Context, Job
from pipelines.jobs.undo.config import UndoConfig
from pipelines.jobs.undo.job import distinct, run, teach
from pipelines.measure.evaluation import Evaluation
from pipelines.options import parse
from pipelines.whole_student import WholeStudentRunner
from rollout.policy import PolicyVersion

FULL = {"sft": {"full": True}}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    settings = config("", tmp_path_factory.mktemp("runs"))
    return write_model(tmp_path_factory.mktemp("model"), distinct(settings, "train", 12), positions=2048)


class Machine:
    """Stands for engines and learner, which are not started: it notes what each model is used for."""

    def __init__(self, patch, runs):
        self.started, self.asked, self.trained, self.learners = [], [], [], 0
        self._runs, self._scripted = runs, ScriptedStudent()
        patch.setattr(sessions, "open_session", self._open)
        patch.setattr(sessions, "wait_for_engines", lambda session, console: None)
        patch.setattr(students, "evaluate", self._evaluate)
        patch.setattr(students, "fine_tune", self._fine_tune)
        patch.setattr(Context, "learner", lambda context, workers: self._learner(context))

    @contextlib.contextmanager
    def _open(self, config, spec, engines, workers, **more):
        self.started.append(self._called(spec.model))
        yield SimpleNamespace(model=spec.model)

    def _learner(self, context):
        self.learners += context._session is None
        return Demand("learner worker", 1, 0.5, 0, {})

    def _evaluate(self, session, config, problems, policy, name, max_tokens, console, folder):
        assert not policy.weights and self._called(session.model) == name.rpartition("-")[0]
        self.asked.append(name)
        own = PolicyVersion("run", 0, name.split("-")[1].encode() if name.startswith("iteration") else b"")
        return Evaluation(name, self._scripted.answer(problems, config.prompt, own, name).groups)

    def _fine_tune(self, demand, task, workers, folder, storage, console):
        assert task.initial is None and Path(task.model, "config.json").is_file(), "its model has not been removed"
        self.trained.append((folder.path.name, self._called(task.model)))
        (folder.path / "model").mkdir()
        (folder.path / "model" / "config.json").write_text("{}")
        (folder.checkpoints / "checkpoint-1").mkdir()
        figures = {"steps": 1, "stopped_early": False, "best_loss": None, "first_loss": 1.0, "last_loss": 0.5}
        (folder.path / OUTCOME_FILE).write_text(json.dumps(figures))
        return figures

    def _called(self, model):
        own = Path(model).is_relative_to(self._runs.resolve())
        return Path(model).parent.name if own else "base"

    @property
    def models(self):
        """The models that the run folder has."""
        return sorted(path.parent.name for path in self._runs.glob("run/adapters/*/model"))


def full(front, runs, model, resume=False, **more):
    """The results of a run, or of what is left of one."""
    settings = config(front.url, runs, **FULL, **more)
    with Context(Job("undo", UndoConfig, run), settings, Console(quiet=True), resume, None) as context:
        context.model = model
        student = WholeStudentRunner(context, settings.student, settings.engine, 16, 96)
        return {**teach(settings, context.folder, student, context.console), "cost": {}}


def test_engines_are_started_once_for_each_model(tmp_path, model, monkeypatch):
    machine = Machine(monkeypatch, tmp_path)
    with Front(reply=ScriptedTeacher(config("", tmp_path))) as front:
        results = full(front, tmp_path, model)
        again = Machine(monkeypatch, tmp_path)
        assert full(front, tmp_path, model, resume=True) == results
    assert machine.started == ["base", "iteration-0", "iteration-1", "iteration-2"] and not machine.learners
    assert machine.trained == [("iteration-0", "base"), ("iteration-1", "iteration-0"), ("iteration-2", "iteration-1")]
    assert results["best"] == "iteration-1" and results["kept_at"] == "adapters/iteration-1/model"
    assert set(results["test"]) == {"base", "iteration-0", "iteration-1"}, "as where adapters are learnt"
    assert "iteration-2-test" not in machine.asked and len(set(machine.asked)) == len(machine.asked)
    assert machine.models == ["iteration-1", "iteration-2"], "the best and the newest"
    assert not list(tmp_path.glob("run/adapters/*/checkpoints/*"))
    assert not again.started and not again.asked and not again.trained


def test_after_a_rollback_the_best_model_is_trained_from(tmp_path, model, monkeypatch):
    machine = Machine(monkeypatch, tmp_path)
    with Front(reply=ScriptedTeacher(config("", tmp_path))) as front:
        results = full(front, tmp_path, model, rollback=True)
    assert machine.trained[-1] == ("iteration-3", "iteration-1") and results["best"] == "iteration-3"
    assert machine.started == ["base", "iteration-0", "iteration-1", "iteration-2", "iteration-3"]
    assert machine.models == ["iteration-3"]


@pytest.mark.parametrize("at", ["iteration-1", "iteration-1-val", "iteration-1-train", "iteration-2"])
def test_an_interrupted_run_starts_no_engine_in_vain(tmp_path, model, monkeypatch, at):
    with Front(reply=ScriptedTeacher(config("", tmp_path))) as front:
        Machine(monkeypatch, tmp_path / "whole")
        whole = full(front, tmp_path / "whole", model)
        first = Machine(monkeypatch, tmp_path)
        stop_at(monkeypatch, at)
        with pytest.raises(KeyboardInterrupt):
            full(front, tmp_path, model)
        second = Machine(monkeypatch, tmp_path)
        assert full(front, tmp_path, model, resume=True) == whole
    assert not set(first.asked) & set(second.asked) and not set(first.trained) & set(second.trained)
    wanted = ["iteration-1", "iteration-2"]
    assert second.started == wanted[wanted.index(at[:11]) :], "the models that are still asked, and no earlier one"
    assert second.learners == (at in wanted), "a learner alone, where that is next"


def stop_at(patch, name):
    """Ctrl-C before this training or evaluation."""
    for part, called in (("evaluate", lambda given: given[4]), ("fine_tune", lambda given: given[3].path.name)):
        work = getattr(students, part)

        def interrupted(*given, work=work, called=called):
            if called(given) == name:
                raise KeyboardInterrupt
            return work(*given)

        patch.setattr(students, part, interrupted)


@pytest.mark.parametrize("gpus", ["H100:1", "H100:2", ""])
def test_all_weights_are_planned_for(gpus):
    shapes, hardware = ModelShapes.from_config(QWEN3_06B, "0.6B"), described(gpus, 16, 64 << 30)
    needs = []
    for more in ((), ("--sft.full", "True")):
        found = fill(parse(UndoConfig, more, prog=""), "", shapes, hardware)
        fleet, learner = plan(found.config.hardware, hardware.nodes(), *found.counts, found.tensor_parallel)
        places = found.place(fleet, learner, hardware)
        needs.append({tenant.role: tenant.need.total for tenant in places})
        assert {"engine", "learner"} == set(needs[-1]), "the engines stay beside the learner"
        assert sum(t.need.total for t in places if t.device is places[0].device) <= 0.95 * places[0].device.bytes
    assert needs[1]["learner"] > needs[0]["learner"] + 11 * shapes.total_parameters, "gradient and two moments"
    assert found.config.sft.learning_rate == 2e-5 and not [name for name in found.recipe.choices if "lora" in name]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--teacher.protocol", "engine", "--teacher.model", "m"], "teacher.protocol engine does not go with sft.full"),
        (["--sft.lora-r", "4"], "sft.lora_r has no effect with sft.full True"),
        (["--sft.optimiser", "muon"], "optimiser muon is for matrices alone"),
    ],
)
def test_what_does_not_go_with_all_weights_is_refused(given, says):
    with pytest.raises(ConfigError, match=says):
        parse(UndoConfig, ["--sft.full", "True", *given], prog="crucible undo")


def test_engines_of_another_job_are_not_ended(tmp_path):
    lent, settings = SimpleNamespace(), config("", tmp_path, **FULL)
    context = Context(Job("undo", UndoConfig, run), settings, Console(quiet=True), False, lent)
    with context, pytest.raises(ConfigError, match="leave it out beside another job's"):
        run(context)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_a_real_student_s_weights_learn_twice(tiny_student, tmp_path):
    """It has only ever seen programs: its validation cannot fall below the base's nothing, so both iterations are."""
    sizes = ["--train-problems=8", "--val-problems=4", "--test-problems=4", "--iterations=1", "--max-tokens=48"]
    asked = ["--problems.families", "word_problems", "--problems.difficulties", "1"]
    learning = ["--sft.full=True", "--sft.epochs=12", "--sft.learning-rate=0.001"]
    output = crucible("undo", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes, *asked, *learning)
    folder = tmp_path / "one"
    figures = {row["name"]: row for row in rows(folder) if row["kind"] == "sft"}
    first, second = figures["iteration-0"], figures["iteration-1"]
    assert first["last_loss"] < first["first_loss"] / 2 and second["first_loss"] < first["first_loss"] / 2
    trained = folder / "adapters" / "iteration-1" / "model"
    before, after = (load_file(Path(one) / "model.safetensors") for one in (tiny_student, trained))
    assert before.keys() == after.keys() and not any(torch.equal(before[name], after[name]) for name in before)
    results = json.loads((folder / "results.json").read_text())
    assert {path.parent.name for path in folder.glob("adapters/*/model")} == {"iteration-1", results["best"]} - {"base"}
    assert not results["kept_at"] or f"model: {folder / results['kept_at']}" in output
    texts = [answers(folder, f"{name}-train") for name in ("base", "iteration-0", "iteration-1")]
    assert texts[0] != texts[1] != texts[2], "each model was asked"
    samples = {path: path.read_bytes() for path in folder.glob("samples/*")}
    crucible("undo", "--resume", folder)
    assert {path: path.read_bytes() for path in folder.glob("samples/*")} == samples


def answers(folder, name):
    """The texts of an evaluation."""
    return pq.read_table(folder / "samples" / f"evaluation-{name}.parquet")["completion"].to_pylist()
