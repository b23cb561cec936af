"""Configuration of `crucible undo`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from cluster.hardware import HardwareConfig
from cluster.recipes import Kind
from pipelines.config import (
    ANSWERS_TOGETHER,
    NO_CANARY,
    NO_CURRICULUM,
    NO_REWARD,
    STUDENT,
    EvaluationConfig,
    JobConfig,
    RunConfig,
)
from pipelines.jobs.rollback import check_patience
from pipelines.jobs.teacher_job_config import shape_is_idle, teacher_is_idle
from pipelines.measure.conditions import Conditions
from problems.auto import AUTO
from problems.questions import QuestionsConfig
from rollout.config import EngineConfig, lora_rank_room
from rollout.prompts import PromptConfig
from rollout.teacher.config import REFERENCE, TeacherConfig
from train.sft_config import SFTConfig
from verify.config import VerifyConfig

Hint = Literal["none", "answer", "solution"]
FAMILIES = ("word_problems", "reverse_string", "max_subarray")


class UndoConfig(RunConfig):
    """Teaches a student from its own errors: the teacher sees its own answer and the student's output.

    Iteration 0 teaches every training problem. Each further one has the teacher rewrite what the student still gets
    wrong, and teaches on. It ends when validation falls, or goes on from the best iteration so far with `rollback`; the
    iteration of the best validation is kept, and measured on test problems that nobody has seen.
    """

    recipe_kind: ClassVar[Kind] = "undo"
    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CURRICULUM, **NO_CANARY, **NO_REWARD,
        "sft.no_thinking": "every answer is learnt from as it is",
    }  # fmt: skip

    model: str = STUDENT
    """The student: `student` (the tiny default, made on first use), a Hugging Face id, or a folder."""
    address: str = ""
    """Ray cluster to join; "" joins RAY_ADDRESS if set, and else starts Ray on this machine."""
    problems: QuestionsConfig = QuestionsConfig(families=FAMILIES, difficulties=(1, 2, 3, 4, 5))
    """What is taught, measured and chosen by: mathematics, code, or both."""
    train_problems: int = Field(default=96, ge=2)
    """Problems that the teacher solves."""
    val_problems: int = Field(default=64, ge=1)
    """Problems that decide which iteration is kept; the teacher sees nothing of them."""
    test_problems: int = Field(default=128, ge=0)
    """Problems that the figures are about; 0 measures on `suites` alone."""
    suites: tuple[str, ...] = ()
    """Data sets that every iteration is measured on, whole: NAME=PATH, or NAME to take it from the Hugging Face hub;
    `crucible problems sources` lists the names. They choose nothing, and their questions are not taught."""
    suite_limit: int = Field(default=0, ge=0)
    """At most so many problems of each suite, its first; 0 uses all."""
    iterations: int = Field(default=3, ge=0)
    """Times, at most, that the student is taught again after the first."""
    fall: Literal["any", "interval"] = "any"
    """Which fall of validation below the best iteration counts: any, or only one beyond chance, whose whole paired
    interval lies below 0. It ends the run, and the best iteration is kept."""
    rollback: bool = False
    """Go back to the best iteration after a fall, and on from there, in place of ending the run."""
    patience: int = Field(default=2, ge=1)
    """Rollbacks in a row after which the run ends."""
    hints: tuple[Hint, ...] = ("none", "answer", "solution")
    """Help given to the teacher, step by step, until its answer is right; after the last the problem is dropped."""
    scoring: Literal["answer", "rubric"] = "answer"
    """The signal of a student's answer: its verdict A (1 or -1), or .6 A + .4 R with R the teacher's grade of its
    reasoning (-1 to 1, in five steps)."""
    rework_below: float = Field(default=0.5, gt=-1, le=1)
    """Problems whose signal is below this are rewritten."""
    train_errors: int = Field(default=2, ge=0)
    """Errors on other training problems that the teacher is shown with each problem that it rewrites."""
    teacher: TeacherConfig = TeacherConfig(temperature=0.0, max_tokens=1024)
    """Who solves and grades."""
    prompt: PromptConfig = PromptConfig()
    """In which words the student is asked."""
    max_tokens: Annotated[int, AUTO] = Field(default=192, ge=1)
    """Longest completion of the student, in tokens."""
    engines: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Engines that share the work."""
    engine: EngineConfig = EngineConfig()
    """Each engine."""
    require: Conditions = ()
    """Conditions on the kept student, on test problems and suites together, as "overall >= 50" "gsm8k > 80"; `before`
    is the untaught one. The exit status is 3 where one does not hold."""
    sft: SFTConfig = SFTConfig(
        target_modules=("q_proj", "v_proj"), schedule="linear", weight_decay=0.0, max_length=1024, val_share=0.0, seed=0
    )
    """How the student learns; each iteration goes on from the adapter of the one before, with `full` from its model.
    All answers are learnt from, and none held out, unless val_share says so."""
    verify: VerifyConfig = VerifyConfig()
    """How answers are checked."""
    hardware: HardwareConfig = HardwareConfig()
    """Where engine and learner are placed."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> UndoConfig:
        lora_rank_room(self.sft.lora_r)
        if not self.hints or len(set(self.hints)) < len(self.hints):
            raise ValueError("hints must name at least one of none, answer, solution, and each once")
        if REFERENCE in self.teacher.names and self.scoring == "rubric":
            raise ValueError("scoring rubric has no effect with the offline reference teacher, which grades nothing")
        self._check_rollback()
        if self.sft.full and self.teacher.on_engines:
            raise ValueError(
                "teacher.protocol engine does not go with sft.full, which ends all engines of the run to start others "
                "on each model that it trained: serve the teacher by itself, or leave out sft.full"
            )
        if self.suite_limit and not self.suites:
            raise ValueError("suite_limit has no effect without suites: name them, or leave it out")
        if not self.test_problems and not self.suites:
            raise ValueError("test_problems 0 leaves nothing to measure: name suites, or ask for one problem at least")
        names = [suite.partition("=")[0] for suite in self.suites]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"suites name {twice} twice: each is a column of the table, and needs a name of its own")
        return self

    def _check_rollback(self) -> None:
        check_patience(self)
        if self.rollback and not self.iterations:
            raise ValueError("rollback has no effect with iterations 0, which teaches once: leave it out, or raise it")
        if self.rollback and self.patience == 1:
            raise ValueError(
                "rollback has no effect with patience 1, with which the first fall ends the run: leave it out"
            )
        if self.rollback and self.teacher.is_offline:
            raise ValueError(
                "rollback has no effect with the offline reference teacher, which would write the same answers and so "
                "teach the same again: name another, or leave it out"
            )

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.options.refuse_idle`."""
        return teacher_is_idle(self.teacher) | shape_is_idle(self.sft)

    @property
    def student(self) -> JobConfig:
        """What the student's engine and its greedy evaluation need to know."""
        return JobConfig(
            model=self.model,
            name=self.name,
            runs=self.runs,
            address=self.address,
            problems=self.problems,
            prompt=self.prompt,
            verify=self.verify,
            hardware=self.hardware,
            evaluation=EvaluationConfig(temperature=0, samples=1, split="test" if self.test_problems else "val"),
        )
