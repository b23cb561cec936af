"""`crucible undo`: a student is taught again and again from its own errors."""

from pipelines.job import MAY_CHANGE
from pipelines.jobs.package_job import check_teacher, package_job
from pipelines.jobs.teacher_job_config import TEACHER_MAY_CHANGE
from pipelines.jobs.undo.config import UndoConfig

JOB = package_job(
    __name__, "undo", UndoConfig, check=check_teacher, named_after="teacher",
    may_change=(*MAY_CHANGE, *TEACHER_MAY_CHANGE, "require"),
)  # fmt: skip
main = JOB.main
