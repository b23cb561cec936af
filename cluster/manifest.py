"""Reads cluster manifests strictly: KubeRay's RayCluster and RayJob, their NetworkPolicy, and the YAML of Ray's cluster
launcher. `cluster.manifest_security` finds what a manifest leaves open.

Kubernetes silently drops unknown keys, and a group with too few resources fails hours later; here both are errors at
once. The known keys are those that crucible's own manifests use, not all of Kubernetes.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from cluster.pod_schema import (
    GPU,
    ContainerSecurity,
    EnvFrom,
    EnvVar,
    LabelKey,
    LabelValue,
    Metadata,
    Mount,
    Name,
    NetworkPolicy,
    Resources,
    Strict,
    SubmitterTemplate,
    Template,
    amount,
)


class ManifestError(ValueError):
    """An unusable manifest; the message is one line with the file, the key and the fix."""


class Group(Strict):
    """The head's group; worker groups have more keys."""

    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    ray_start_params: dict[str, str] = Field(default_factory=dict)
    template: Template


class WorkerGroup(Group):
    group_name: Name
    replicas: int = Field(ge=0)
    min_replicas: int = Field(ge=0)
    max_replicas: int = Field(ge=1)
    priority: int = 0
    idle_timeout_seconds: int | None = None

    @model_validator(mode="after")
    def _replicas_in_order(self) -> WorkerGroup:
        if not self.min_replicas <= self.replicas <= self.max_replicas:
            raise ValueError(
                f"replicas {self.replicas} of group {self.group_name} must lie between minReplicas "
                f"{self.min_replicas} and maxReplicas {self.max_replicas}"
            )
        return self

    @property
    def gpus(self) -> float:
        """GPUs of one node."""
        return amount(self.template.spec.containers[0].resources.limits.get(GPU, "0"))


class Auth(Strict):
    mode: Literal["disabled", "token"]
    secret_name: Name | None = None


class Autoscaler(Strict):
    version: Literal["v1", "v2"]
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"] = "Default"
    idle_timeout_seconds: int = Field(default=60, ge=0)
    resources: Resources | None = None
    security_context: ContainerSecurity | None = None
    env: list[EnvVar] = Field(default_factory=list)
    env_from: list[EnvFrom] = Field(default_factory=list)
    volume_mounts: list[Mount] = Field(default_factory=list)


class ClusterSpec(Strict):
    ray_version: str
    auth_options: Auth
    enable_in_tree_autoscaling: bool = False
    autoscaler_options: Autoscaler | None = None
    head_group_spec: Group
    worker_group_specs: list[WorkerGroup] = Field(min_length=1)

    @model_validator(mode="after")
    def _groups_differ(self) -> ClusterSpec:
        names = [group.group_name for group in self.worker_group_specs]
        if len(set(names)) < len(names):
            raise ValueError(f"groups need different names; these are {', '.join(names)}")
        return self


class RayCluster(Strict):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class Submitter(Strict):
    backoff_limit: int = Field(ge=0)


class JobSpec(Strict):
    entrypoint: str = Field(min_length=1)
    submission_mode: Literal["K8sJobMode", "HTTPMode", "SidecarMode"] = "K8sJobMode"
    backoff_limit: int = Field(default=0, ge=0)
    submitter_config: Submitter | None = None
    submitter_pod_template: SubmitterTemplate | None = None
    shutdown_after_job_finishes: bool = False
    ttl_seconds_after_finished: int = Field(default=0, ge=0)
    active_deadline_seconds: int | None = Field(default=None, ge=1)
    ray_cluster_spec: ClusterSpec


class RayJob(Strict):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec


Manifest = RayCluster | RayJob | NetworkPolicy
KINDS: dict[str, type[Manifest]] = {"RayCluster": RayCluster, "RayJob": RayJob, "NetworkPolicy": NetworkPolicy}


def read_manifest(path: Path) -> Manifest | dict[str, Any]:
    """The only object of a KubeRay manifest, or the dictionary of a cluster launcher's YAML. Raises ManifestError."""
    found = read_manifests(path)
    if len(found) != 1:
        raise ManifestError(f"{path} holds {len(found)} objects; it must hold one")
    return found[0]


def read_manifests(path: Path) -> list[Manifest | dict[str, Any]]:
    """All objects of a manifest. Raises ManifestError."""
    try:
        documents = [data for data in yaml.safe_load_all(path.read_text()) if data is not None]
    except (OSError, UnicodeError) as error:
        raise ManifestError(f"{path} cannot be read: {getattr(error, 'strerror', '') or 'it is not text'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not documents:
        raise ManifestError(f"{path} is empty")
    return [_read(path, data) for data in documents]


def _read(path: Path, data: Any) -> Manifest | dict[str, Any]:
    if isinstance(data, dict) and "cluster_name" in data:
        return _launcher(path, data)
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ManifestError(
            f"{path} is neither a cluster launcher's YAML nor one of {', '.join(KINDS)}; kind is {kind}"
        )
    try:
        return KINDS[kind].model_validate(data)
    except ValidationError as error:
        raise ManifestError(f"{path}: {_explain(error)}") from None


def _launcher(path: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a launcher's YAML by Ray's own schema, and for errors that the schema does not find."""
    logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)
    from jsonschema import ValidationError as SchemaError
    from ray.autoscaler._private.util import prepare_config, validate_config

    kinds = data.get("available_node_types") or {}
    if data.get("head_node_type") not in kinds:
        raise ManifestError(f"{path}: head_node_type {data.get('head_node_type')} is not in available_node_types")
    for name, kind in kinds.items():
        if kind.get("min_workers", 0) > kind.get("max_workers", data.get("max_workers", 0)):
            raise ManifestError(f"{path}: {name} has more min_workers than max_workers")
    try:
        config = prepare_config(dict(data))
        validate_config(config)
    except (SchemaError, ValueError) as error:
        raise ManifestError(f"{path}: {getattr(error, 'message', str(error))}") from None
    return config


def _explain(error: ValidationError) -> str:
    """The first error in one line; for an unknown key, with the nearest known one."""
    errors = error.errors()
    # A misspelt key is reported as missing too: the misspelling is more helpful.
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    where = ".".join(map(str, first["loc"]))
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    known = set().union(*map(_known, KINDS.values()))
    near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
    return f"unknown key {where}" + (
        f"; did you mean {near[0]}?" if near else "; crucible's manifests have no such key"
    )


def _known(model: type[BaseModel]) -> set[str]:
    """Keys of a model and of those in it."""
    found: set[str] = set()
    pending: list[Any] = [model]
    seen: set[Any] = set()
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
            seen.add(kind)
            for name, field in kind.model_fields.items():
                found.add(field.alias or name)
                pending.append(field.annotation)
        else:
            pending += [inner for inner in getattr(kind, "__args__", ()) if inner not in seen]
    return found
