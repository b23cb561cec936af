"""The student of a job that teaches it: answers by the rollout engine, and an adapter learnt from rows.

The engine starts with the first question and stays until the job ends. Each measurement is written whole into the run
folder, so that a resumed job asks only what it had not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from rich.console import Console

from pipelines.artifacts.run_folder import RunFolder, write_adapter
from pipelines.config import ConfigError, EvaluationConfig, JobConfig
from pipelines.jobs.evaluate import Evaluation, evaluate, load_evaluation, read_adapter, write_evaluation
from pipelines.session import ClusterSession, open_session, wait_for_engines
from problems.problem import Problem
from rollout.backends import EngineSpec
from rollout.config import EngineConfig
from rollout.model_files import load_tokenizer
from rollout.policy import PolicyVersion
from rollout.prompts import PromptBuilder, PromptConfig

ADAPTERS = "adapters"
"""In a run folder: one adapter a name."""


class StudentRunner:
    """A model in a folder, by an engine and by the learner. Closes its engine with the block."""

    def __init__(
        self,
        config: JobConfig,
        model: str,
        engine: EngineConfig,
        rank: int,
        max_tokens: int,
        folder: RunFolder,
        console: Console,
        workers: int = 0,
    ) -> None:
        """`config` says how answers are drawn; `rank` of the adapters to come, `max_tokens` of an answer; `workers` of
        a learner on the cluster, for which the engine leaves room."""
        self._config = config
        self._model = model
        self._spec = EngineSpec(model, engine, rank)
        self._max_tokens = max_tokens
        self._folder = folder
        self._console = console
        self._workers = workers
        self._stack = ExitStack()
        self._session: ClusterSession | None = None

    def answer(
        self,
        problems: Sequence[Problem],
        prompt: PromptConfig,
        policy: PolicyVersion,
        name: str,
        drawn: EvaluationConfig | None = None,
    ) -> Evaluation:
        """Judged answers, as the job's evaluation or `drawn` says; from the run folder if it holds `name`."""
        found = load_evaluation(self._folder, name)
        if found is None:
            config = self._config.model_copy(update={"prompt": prompt, "evaluation": drawn or self._config.evaluation})
            found = evaluate(self.session(), config, problems, policy, name, self._max_tokens, self._console)
            write_evaluation(self._folder, found, policy.number)
        return found

    def learn(
        self,
        pairs: Sequence[tuple[Problem, str]],
        prompt: PromptConfig,
        transfer: Any,
        name: str,
        number: int = 1,
        initial: PolicyVersion | None = None,
    ) -> PolicyVersion:
        """The adapter called `name`, learnt from (problem, completion) pairs unless the run folder holds it already.

        Raises ConfigError where the pairs cannot be learnt from.
        """
        target = self._folder.path / ADAPTERS / name
        if (target / "adapter").is_dir():
            return numbered(read_adapter(str(target), self._config.name), number)
        try:
            policy = self._learn(pairs, prompt, transfer, name, number, initial)
        except (ValueError, FloatingPointError) as error:
            raise ConfigError(str(error)) from None
        write_adapter(target, policy)
        return policy

    def _learn(
        self,
        pairs: Sequence[tuple[Problem, str]],
        prompt: PromptConfig,
        settings: Any,
        name: str,
        number: int,
        initial: PolicyVersion | None,
    ) -> PolicyVersion:
        import torch

        from train.learner import load_base
        from train.pretrain import Row
        from train.transfer import transfer

        builder = PromptBuilder(load_tokenizer(self._model), prompt)
        rows = [Row(builder.build(problem).ids, builder.encode_completion(text)) for problem, text in pairs]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        base = load_base(self._model, settings.adapter, device).to(device)
        with self._console.status(f"the student learns from {len(rows)} answers"):
            done = transfer(base, rows, settings, self._config.name, number, initial)
        self._folder.append_metrics(
            {
                "kind": "transfer",
                "name": name,
                "rows": len(rows),
                "updates": len(done.losses),
                "first_loss": done.losses[0],
                "last_loss": done.losses[-1],
                "skipped_steps": done.skipped_steps,
                "longest_row": max(map(len, rows)),
                "supervised_tokens": sum(len(row.completion_ids) for row in rows),
                "adapter_hash": done.policy.adapter_hash,
            }
        )
        return done.policy

    def session(self) -> ClusterSession:
        """The job's hold on the cluster, with the engine up."""
        if self._session is None:
            self._session = self._stack.enter_context(open_session(self._config, self._spec, 1, self._workers))
            with self._console.status("starting the student's engine"):
                wait_for_engines(self._session)
        return self._session

    def __enter__(self) -> StudentRunner:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.__exit__(*exception)


def numbered(policy: PolicyVersion, number: int) -> PolicyVersion:
    """The same adapter under another version number."""
    return replace(policy, number=number)
