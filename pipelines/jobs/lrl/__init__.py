"""`crucible lrl`: a strategy is learnt in words, and then handed to a small model by LoRA."""

from pipelines.job import MAY_CHANGE
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.package_job import check_teacher, package_job
from pipelines.jobs.teacher_job_config import TEACHER_MAY_CHANGE

JOB = package_job(
    __name__, "lrl", LRLConfig, check=check_teacher, named_after="teacher",
    may_change=(*MAY_CHANGE, *TEACHER_MAY_CHANGE, "require"),
)  # fmt: skip
main = JOB.main
