"""The student of a job that teaches it: answers of the rollout engine, and adapters learnt from given answers or pairs.

The engine is that of the job's session: it starts with the first question and stays until the job ends. Each
evaluation, and each adapter with all that its training recorded, is written into the run folder: a resumed job repeats
none, and goes on with a training from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.checkpoint_store import CheckpointStore
from cluster.hardware import Demand
from pipelines.adapters import read_adapter
from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import EvaluationConfig, JobConfig
from pipelines.errors import ConfigError
from pipelines.fine_tuning import (
    DPOTask,
    Examples,
    SFTFailed,
    SFTTask,
    fine_tune,
    finished,
    record_outcome,
    say_outcome,
    select_examples,
)
from pipelines.job import Context
from pipelines.jobs.evaluate import Evaluation, evaluate, load_evaluation, write_evaluation
from pipelines.jobs.sft import select_traces
from pipelines.session import ClusterSession
from pipelines.trace_data import written_traces
from problems.problem import Problem
from rollout.config import EngineConfig
from rollout.engine_spec import EngineSpec
from rollout.model_files import load_tokenizer
from rollout.policy import PolicyVersion
from rollout.prompts import PromptBuilder, PromptConfig
from train.checkpoint import HEAD
from train.dpo_config import DPOConfig
from train.sft_config import SFTConfig

if TYPE_CHECKING:
    from pipelines.jobs.expert.replay_mix import Pair

ADAPTERS = "adapters"
"""In a run folder: a run folder for each adapter that `learn` was given a name for."""


class StudentRunner:
    """The model of a job, with the job's engine and its learner."""

    def __init__(
        self,
        context: Context[Any],
        config: JobConfig,
        engine: EngineConfig,
        rank: int,
        max_tokens: int,
        workers: int = 1,
        engines: int = 1,
    ) -> None:
        """`config` says how answers are sampled; `rank` is that of the adapters to come, `max_tokens` the longest
        answer, `workers` the learner's, for which the `engines` leave room."""
        self._context = context
        self._config = config
        self._model = context.model
        self._spec = EngineSpec(context.model, engine, rank)
        self._max_tokens = max_tokens
        self._folder = context.folder
        self._console = context.console
        self._workers, self._engines = workers, engines

    def answer(
        self,
        problems: Sequence[Problem],
        prompt: PromptConfig,
        policy: PolicyVersion,
        name: str,
        sampling: EvaluationConfig | None = None,
    ) -> Evaluation:
        """Judged answers, as the job's evaluation or `sampling` says; from the run folder if it holds `name`."""
        found = load_evaluation(self._folder, name)
        if found is None:
            evaluation = sampling or self._config.evaluation
            config = self._config.model_copy(update={"prompt": prompt, "evaluation": evaluation})
            session = self._session_for(policy)
            found = evaluate(session, config, problems, policy, name, self._max_tokens, self._console, self._folder)
            write_evaluation(self._folder, found, policy.number)
        return found

    def learn(
        self,
        pairs: Sequence[tuple[Problem, str]],
        prompt: PromptConfig,
        settings: SFTConfig,
        name: str,
        number: int = 1,
        initial: PolicyVersion | None = None,
    ) -> PolicyVersion:
        """The adapter called `name`, learnt from (problem, completion) pairs unless the run folder holds it already.
        With `initial` that one goes on.

        Raises ConfigError where the pairs cannot be learnt from, or the training fails.
        """
        where = self._folder.path / ADAPTERS / name

        def examples(folder: RunFolder) -> Examples:
            from train.pretrain import Row

            builder = PromptBuilder(load_tokenizer(self._model), prompt)
            rows = [Row(builder.build(problem).ids, builder.encode_completion(text)) for problem, text in pairs]
            found = select_examples(rows, [problem.question_hash for problem, _ in pairs], self._model, settings)
            if not any(row.get("kind") == "examples" for row in folder.metrics()):
                folder.append_metrics({"kind": "examples", **found.figures})
            return found

        try:
            figures = self._fine_tune(where, {"rows": len(pairs)}, examples, prompt, settings, initial)
        except (SFTFailed, ValueError) as error:
            raise ConfigError(str(error)) from None
        rows = self._folder.metrics()
        if not any(row.get("kind") == "sft" and row.get("name") == name for row in rows):
            self._folder.append_metrics({"kind": "sft", "name": name, "rows": len(pairs), **figures})
        return self._trained(where, number)

    def learn_traces(
        self,
        where: Path,
        traces: Path,
        prompt: PromptConfig,
        settings: SFTConfig,
        number: int,
        initial: PolicyVersion | None = None,
    ) -> PolicyVersion:
        """The adapter of the run folder `where`, which lies in the job's, learnt from a file of traces.

        Raises TracesError for the file and SFTFailed.
        """

        def examples(folder: RunFolder) -> Examples:
            return select_traces(written_traces(traces), prompt, settings, self._model, folder, self._console)

        self._fine_tune(where, {"traces": str(traces.resolve())}, examples, prompt, settings, initial)
        return self._trained(where, number)

    def prefer(
        self,
        where: Path,
        pairs: Sequence[Pair],
        prompt: PromptConfig,
        dpo: DPOConfig,
        settings: SFTConfig,
        number: int,
        initial: PolicyVersion | None = None,
    ) -> PolicyVersion:
        """The adapter of the run folder `where`, of the shape of `settings`, that learnt to prefer the right sample of
        each pair. Raises SFTFailed."""
        if finished(where) is None:
            from train.dpo import PairRow

            builder = PromptBuilder(load_tokenizer(self._model), prompt)
            rows = [
                PairRow(builder.build(p.problem).ids, p.right.completion_ids.tolist(), p.wrong.completion_ids.tolist())
                for p in pairs
            ]
            learner = self.session().learner
            with self._part(where, {"dpo": dpo.model_dump(mode="json"), "pairs": len(rows)}) as folder:
                task = DPOTask(self._config.name, self._model, dpo, settings, rows, initial)
                fine_tune(learner, task, settings.workers, folder, self._folder.ray_storage, self._console)
            self._folder.changed()
        return self._trained(where, number)

    def forget(self, name: str) -> None:
        """Takes notice that nothing needs what was learnt under `name` any more. An adapter is small, and stays."""

    def session(self) -> ClusterSession:
        """The job's hold on the cluster, with the engine up."""
        return self._context.session(self._spec, self._engines, self._workers)

    def _fine_tune(
        self,
        where: Path,
        source: Mapping[str, Any],
        examples: Callable[[RunFolder], Examples],
        prompt: PromptConfig,
        settings: SFTConfig,
        initial: PolicyVersion | None,
    ) -> Mapping[str, Any]:
        """Trains in the run folder `where` on what `examples(folder)` selects, unless that is done. Returns the
        figures."""
        figures = finished(where)
        if figures is not None:
            return figures
        with self._part(where, {"sft": settings.model_dump(mode="json"), **source}) as folder:
            # What cannot be learnt from is refused before anything is started.
            selected = examples(folder)
            task = SFTTask(
                run=self._config.name,
                checkpoints=str(folder.checkpoints.resolve()),
                config=settings,
                train=selected.train,
                val=selected.val,
                store=self._store(where),
                **self._start(initial, prompt),
            )
            learner = self._learner()
            figures = fine_tune(learner, task, settings.workers, folder, self._folder.ray_storage, self._console)
            say_outcome(figures, self._console)
            record_outcome(folder, figures)
        self._folder.changed()
        return figures

    def _part(self, where: Path, config: Mapping[str, Any]) -> RunFolder:
        """The run folder of one training, new or resumed."""
        config = {"model": self._config.model, **config}
        begun = (where / "config.yaml").is_file()
        return RunFolder.resume(where, config) if begun else RunFolder.create(where, config)

    def _store(self, where: Path) -> CheckpointStore | None:
        """Where the checkpoints of one training are kept, of a run on an object store."""
        if self._folder.checkpoint_store is None:
            return None
        part = where.relative_to(self._folder.path).as_posix()
        return CheckpointStore(f"{self._folder.checkpoint_store.url}/{part}", HEAD)

    def _session_for(self, policy: PolicyVersion) -> ClusterSession:
        """The session, with engines that `policy` can be asked on."""
        return self.session()

    def _learner(self) -> Demand:
        """The place of the learner."""
        return self.session().learner

    def _start(self, initial: PolicyVersion | None, prompt: PromptConfig) -> dict[str, Any]:
        """What of a training's task says what it starts from, and what it ends with."""
        return {"model": self._model, "initial": initial}

    def _trained(self, where: Path, number: int) -> PolicyVersion:
        return numbered(read_adapter(str(where), self._config.name), number)


def numbered(policy: PolicyVersion, number: int) -> PolicyVersion:
    """The same adapter under another version number."""
    return replace(policy, number=number)
