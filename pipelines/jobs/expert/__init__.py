"""`crucible expert-iteration`: a model learns a few families from its own verified samples and keeps what it knew."""

from pipelines.job import MAY_CHANGE
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.package_job import package_job

JOB = package_job(__name__, "expert-iteration", ExpertConfig, may_change=(*MAY_CHANGE, "require"))
main = JOB.main
