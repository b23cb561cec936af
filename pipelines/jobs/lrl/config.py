"""Configuration of `crucible lrl`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from cluster.hardware import HardwareConfig
from cluster.recipes import Kind
from pipelines.config import (
    ANSWERS_TOGETHER,
    NO_CANARY,
    NO_CURRICULUM,
    NO_FULL,
    NO_REWARD,
    STUDENT,
    EvaluationConfig,
    JobConfig,
    RunConfig,
)
from pipelines.jobs.lrl.balanced_problems import FAMILY, LEVELS
from pipelines.jobs.teacher_job_config import teacher_is_idle
from pipelines.measure.conditions import Conditions
from problems import families
from problems.auto import AUTO
from problems.questions import QuestionsConfig
from rollout.config import EngineConfig, lora_rank_room
from rollout.prompts import PromptConfig
from rollout.teacher.config import REFERENCE, TeacherConfig
from train.sft_config import SFTConfig
from verify.config import VerifyConfig

STAGES = (0, 1, 2, 3, 4)


class LRLConfig(RunConfig):
    """Linguistic reinforcement learning: a teacher puts a strategy into words, a small model takes it over by LoRA.

    Stages: 0 student alone, 1 teacher alone, 2 the teacher solves in batches, keeps a journal and distils a strategy,
    3 the teacher under that strategy, 4 the student after learning labelled examples under it. 0, 1, 3 and 4 are
    measured on the same test problems.
    """

    recipe_kind: ClassVar[Kind] = "lrl"
    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CANARY, **NO_CURRICULUM, **NO_FULL, **NO_REWARD,
        "problems.weights": "each family and difficulty is asked equally often",
        "problems.seed": "set train_seed, test_seed and synthesis_seed",
        "problems.hidden_tests": "an answer has one test",
        "problems.public_examples": "an answer has no examples",
        "prompt.system": "the strategy is the system message; set strategy",
        "sft.no_thinking": "every example is learnt from as it is",
        "teacher.others": "the journal is one teacher's, about its own work",
        "teacher.share": "there is one teacher",
        "teacher.prompts": "the teacher is asked in this command's own words, under the strategy",
    }  # fmt: skip

    model: str = STUDENT
    """The student: `student` (the tiny default, made on first use), a Hugging Face id, or a folder."""
    address: str = ""
    """Ray cluster to join; "" joins RAY_ADDRESS if set, and else starts Ray on this machine."""
    problems: QuestionsConfig = QuestionsConfig(families=(FAMILY,), difficulties=tuple(LEVELS.values()))
    """What is asked: families, or data sets, whose answer is YES or NO or stands in a box."""
    stages: tuple[int, ...] = STAGES
    """Which stages run."""
    train_problems: int = Field(default=100, ge=2)
    """Problems that the strategy is learnt on (stage 2)."""
    train_seed: int = 42
    """Of their choice."""
    test_problems: int = Field(default=150, ge=2)
    """Problems that every measurement asks."""
    test_seed: int = 123
    """Of their choice."""
    synthesis_problems: int = Field(default=100, ge=2)
    """Labelled examples that the student learns from (stage 4); none of them is among the training problems."""
    synthesis_seed: int = 999
    """Of their choice."""
    synthesis: Literal["gold", "worked", "teacher"] = "gold"
    """What the examples answer: the true verdict alone, that verdict behind its working (of scheduling: the meetings at
    each time), or the teacher's own answer where its verdict is true."""
    batch: int = Field(default=10, ge=1)
    """Training problems between two entries in the journal."""
    distil_every: int = Field(default=5, ge=1)
    """Batches between two distillations of the journal into a strategy."""
    journal_chars: int = Field(default=5000, ge=200)
    """The end of the journal that a distillation reads, in characters."""
    strategy_chars: int = Field(default=1500, ge=100)
    """Longest strategy that the teacher is asked for; a longer one is refused and the one before it kept."""
    strategy: str = ""
    """The first strategy; without stage 2 it is also the last. "" is one that says to be careful."""
    teacher: TeacherConfig = TeacherConfig(temperature=0.0, max_tokens=1024)
    """Who solves, keeps the journal and distils."""
    prompt: PromptConfig = PromptConfig()
    """In which words problems are put; system messages are the job's own."""
    max_tokens: int = Field(default=16, ge=1)
    """Longest completion of the student, in tokens: enough for the answer alone, not for the reasoning before it."""
    engines: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Engines that share the work."""
    engine: EngineConfig = EngineConfig()
    """Each engine."""
    require: Conditions = ()
    """Conditions on the student after stage 4, on the test problems, as "overall >= 80"; `before` is the student of
    stage 0. The exit status is 3 where one does not hold."""
    sft: SFTConfig = SFTConfig(
        target_modules=("q_proj", "v_proj"), schedule="linear", weight_decay=0.0, max_length=1024, val_share=0.0, seed=0
    )
    """How the student's adapter learns; all examples are learnt from, and none held out, unless val_share says so."""
    verify: VerifyConfig = VerifyConfig()
    """How answers are read."""
    hardware: HardwareConfig = HardwareConfig()
    """Where engine and learner are placed."""

    @field_validator("stages")
    @classmethod
    def _known_stages(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        if not stages or set(stages) - set(STAGES):
            raise ValueError(f"stages are {', '.join(map(str, STAGES))}; {stages} names others, or none")
        return tuple(sorted(set(stages)))

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> LRLConfig:
        lora_rank_room(self.sft.lora_r)
        programs = [name for name in self.problems.full_names if families.get(name).kind != "answer"]
        if programs and not self.problems.parts:
            fit = [name for name in families.names() if families.get(name).kind == "answer"]
            raise ValueError(
                f"problems.families {programs[0]} wants a program, and lrl asks for YES or NO, or for an answer in a "
                f"box; families that fit: {', '.join(fit)}"
            )
        if len(self.strategy) > self.strategy_chars:
            raise ValueError(f"strategy has {len(self.strategy)} characters, and strategy_chars is smaller: raise it")
        if self.require and 4 not in self.stages:
            raise ValueError("require is measured on the student of stage 4: name that in stages, or leave it out")
        if self.synthesis == "teacher" and self.teacher.model == REFERENCE:
            raise ValueError("synthesis teacher has no effect with the offline reference teacher: use gold or worked")
        return self

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.options.refuse_idle`."""
        return teacher_is_idle(self.teacher)

    @property
    def names(self) -> tuple[str, ...]:
        """The families, or of data sets the mappings, that are asked."""
        if not self.problems.parts:
            return self.problems.full_names
        found: list[str] = []
        for part in self.problems.parts:
            found += part.procedural.full_names if part.procedural else [part.source.mapping if part.source else ""]
        return tuple(dict.fromkeys(found))

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
            evaluation=EvaluationConfig(temperature=0, problems=self.test_problems, samples=1),
        )
