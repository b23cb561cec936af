"""The student of a job that trains all weights: a model a training, each in its folder of the run.

An engine cannot change the model that it serves: where another one is to be asked, engines are started on that.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.hardware import Demand
from pipelines.artifacts.location import CHECKPOINTS
from pipelines.session import ClusterSession
from pipelines.student_runner import ADAPTERS, StudentRunner
from pipelines.whole_model import MODEL_FOLDER
from problems.problem import Problem
from rollout.policy import PolicyVersion
from rollout.prompts import PromptConfig
from train.sft_config import SFTConfig


class WholeStudentRunner(StudentRunner):
    """A policy is a model here, and has no weights of its own: `base["model"]` is the folder, the job's model without.

    Engines and learner get a copy on their nodes (`pipelines.model_copies`). It learns by `learn` alone.
    """

    def learn(
        self,
        pairs: Sequence[tuple[Problem, str]],
        prompt: PromptConfig,
        settings: SFTConfig,
        name: str,
        number: int = 1,
        initial: PolicyVersion | None = None,
    ) -> PolicyVersion:
        """The model called `name`; see `StudentRunner.learn`."""
        policy = super().learn(pairs, prompt, settings, name, number, initial)
        self._remove_checkpoints(self._folder.path / ADAPTERS / name)
        return policy

    def forget(self, name: str) -> None:
        """Removes the model that was learnt under `name`."""
        shutil.rmtree(self._folder.path / ADAPTERS / name / MODEL_FOLDER, ignore_errors=True)
        self._folder.changed()

    def _remove_checkpoints(self, where: Path) -> None:
        """Each has all weights and what the optimiser knows of them, and a training that has ended needs none."""
        for checkpoint in (where / CHECKPOINTS).glob("*"):
            shutil.rmtree(checkpoint, ignore_errors=True)
        if (store := self._store(where)) is not None:
            store.clear()

    def _session_for(self, policy: PolicyVersion) -> ClusterSession:
        model = self._model_of(policy)
        if model != self._spec.model:
            self._context.leave_cluster()
            self._spec = replace(self._spec, model=model)
        return self.session()

    def _learner(self) -> Demand:
        """Beside the engines that are up; a resumed run that has nothing to ask starts none for it."""
        return self._context.learner(self._workers)

    def _start(self, initial: PolicyVersion | None, prompt: PromptConfig) -> dict[str, Any]:
        own = prompt.model_dump_json(indent=1) if prompt != PromptConfig() else ""
        return {"model": self._model_of(initial), "prompt": own}

    def _trained(self, where: Path, number: int) -> PolicyVersion:
        model = str((where / MODEL_FOLDER).resolve())
        return PolicyVersion(self._config.name, number, base={"model": model})

    def _model_of(self, policy: PolicyVersion | None) -> str:
        return (policy.base.get("model") if policy is not None else None) or self._model
