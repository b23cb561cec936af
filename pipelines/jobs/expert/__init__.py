"""`crucible expert-iteration`: a model learns a few families from its own verified samples and keeps what it knew."""

from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.package_job import package_job

JOB = package_job(__name__, "expert-iteration", ExpertConfig)
main = JOB.main
