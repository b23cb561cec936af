"""The model of a run: sampled by the engine, fine-tuned as `crucible sft` does, taught to prefer by TRL's DPO."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from pipelines.artifacts.plain_files import read_object
from pipelines.artifacts.run_folder import RunFolder, replace_file, write_adapter
from pipelines.config import EvaluationConfig
from pipelines.jobs import sft
from pipelines.jobs.evaluate import Evaluation, read_adapter
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.expert.replay_mix import Pair
from pipelines.jobs.sft import OUTCOME_FILE
from pipelines.jobs.teacher_job_config import SFTJobConfig
from pipelines.student_runner import StudentRunner, numbered
from problems.problem import Problem
from rollout.model_files import load_tokenizer
from rollout.policy import PolicyVersion
from rollout.prompts import PromptBuilder
from train.dpo_config import DPOConfig
from train.sft_config import SFTConfig

SFT_RUN, DPO_RUN = "sft", "dpo"
"""In an iteration's folder: the run folders of its two ways to learn."""


class Student(Protocol):
    """Whom a run teaches. All that is asked twice, by a resumed run too, is answered from the run folder."""

    def ask(self, problems: Sequence[Problem], policy: PolicyVersion, name: str, drawn: EvaluationConfig) -> Evaluation:
        """Judged samples."""

    def learn(self, where: Path, traces: Path, initial: PolicyVersion | None, number: int) -> PolicyVersion:
        """The adapter that was fine-tuned on `traces` in the iteration's folder `where`."""

    def prefer(self, where: Path, pairs: Sequence[Pair], initial: PolicyVersion | None, number: int) -> PolicyVersion:
        """The adapter that learnt to prefer the right samples of pairs."""


@dataclass(frozen=True, slots=True)
class Preferring:
    """What a learner worker needs to know to learn from pairs."""

    run: str
    model: str
    folder: str
    config: DPOConfig
    shape: SFTConfig
    rows: Sequence[Any] = field(repr=False)
    initial: PolicyVersion | None = field(repr=False, default=None)


class EngineStudent:
    """The model itself, on the cluster. Closes its engine with the block."""

    def __init__(self, config: ExpertConfig, model: str, folder: RunFolder, console: Console) -> None:
        asking, rank = config.asking(config.focus), config.sft.lora_r
        self._config, self._model, self._folder, self._console = config, model, folder, console
        self._pupil = StudentRunner(
            asking, model, config.engine, rank, config.max_tokens, folder, console, workers=config.sft.workers
        )

    def ask(self, problems: Sequence[Problem], policy: PolicyVersion, name: str, drawn: EvaluationConfig) -> Evaluation:
        """See `Student`."""
        return self._pupil.answer(problems, self._config.prompt, policy, name, drawn)

    def learn(self, where: Path, traces: Path, initial: PolicyVersion | None, number: int) -> PolicyVersion:
        """See `Student`. An interrupted stage goes on from the learner's last checkpoint."""
        folder = where / SFT_RUN
        if not sft.learnt(folder):
            config = SFTJobConfig(
                model=self._config.model,
                name=SFT_RUN,
                runs=where,
                traces=traces.resolve(),
                prompt=self._config.prompt,
                sft=self._config.sft.model_copy(update={"seed": self._config.seed}),
            )
            begun = (folder / "config.yaml").is_file()
            sft.run_stage(config, self._console, begun, self._pupil.session(), initial)
        return self._read(folder, number)

    def prefer(self, where: Path, pairs: Sequence[Pair], initial: PolicyVersion | None, number: int) -> PolicyVersion:
        """See `Student`."""
        folder = where / DPO_RUN
        if not sft.learnt(folder):
            self._prefer(folder, pairs, initial)
        return self._read(folder, number)

    def _prefer(self, path: Path, pairs: Sequence[Pair], initial: PolicyVersion | None) -> None:
        from train.dpo import PairRow

        builder = PromptBuilder(load_tokenizer(self._model), self._config.prompt)
        rows = [
            PairRow(
                builder.build(pair.problem).ids, pair.right.completion_ids.tolist(), pair.wrong.completion_ids.tolist()
            )
            for pair in pairs
        ]
        begun = (path / "config.yaml").is_file()
        config = {"dpo": self._config.dpo.model_dump(mode="json"), "pairs": len(rows)}
        opened = RunFolder.resume(path, config) if begun else RunFolder.create(path, config)
        session = self._pupil.session()
        with opened as folder, self._console.status(f"learning from {len(rows)} pairs"):
            (path / OUTCOME_FILE).unlink(missing_ok=True)
            folder.roll_back(0)
            shape = self._config.sft.model_copy(update={"seed": self._config.seed})
            where = str(folder.path.resolve())
            job = Preferring(self._config.name, self._model, where, self._config.dpo, shape, rows, initial)
            sft.fit_workers(session.learner, shape.workers, job, where, preference_worker)
            figures = read_object(folder.path / OUTCOME_FILE)
        if figures.get("error"):
            raise sft.SFTFailed(figures["error"])

    def _read(self, folder: Path, number: int) -> PolicyVersion:
        return numbered(read_adapter(str(folder), self._config.name), number)

    def __enter__(self) -> EngineStudent:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pupil.__exit__(*exception)


def preference_worker(loop_config: Mapping[str, Any]) -> None:
    """The train function of Ray Train's workers. What cannot be mended by trying again is written, not raised."""
    import ray.train
    import ray.train.torch

    from train.dpo import prefer
    from train.learner import load_base

    job: Preferring = loop_config["job"]
    first = ray.train.get_context().get_world_rank() == 0
    folder = RunFolder.open(job.folder)
    try:
        base = load_base(job.model, job.shape.adapter, ray.train.torch.get_device())
        tokenizer = load_tokenizer(job.model)
        result = prefer(
            base, tokenizer, job.rows, job.config, job.shape, folder.checkpoints, job.run, job.initial,
            folder.append_metrics,
        )  # fmt: skip
    except (ValueError, FloatingPointError) as error:
        if first:
            replace_file(folder.path / OUTCOME_FILE, json.dumps({"error": str(error)}))
        return
    if first:
        write_adapter(folder.path, result.policy)
        figures = {
            "steps": result.steps,
            "first_loss": result.first_loss,
            "last_loss": result.last_loss,
            "skipped_steps": result.skipped_steps,
        }
        replace_file(folder.path / OUTCOME_FILE, json.dumps(figures, indent=1))
