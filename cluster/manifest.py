"""Reads cluster manifests strictly: KubeRay's RayCluster and RayJob, and the YAML of Ray's cluster launcher.

Kubernetes drops keys that it does not know, and a group that asks for less than it needs fails hours later; here both
are errors at once. Known are the keys that crucible's own manifests have use for, not all of Kubernetes.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

GPU = "nvidia.com/gpu"
SHM = "/dev/shm"
UNITS = {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|Ki|Mi|Gi|Ti)?$")]
LabelKey = Annotated[str, StringConstraints(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$", max_length=63)]


class ManifestError(ValueError):
    """A manifest that would not do; the message is one line with the file, the key and the mend."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, strict=True)


class Metadata(_Strict):
    name: Name
    namespace: Name | None = None
    labels: dict[LabelKey, LabelValue] = {}


class Resources(_Strict):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity]

    @model_validator(mode="after")
    def _gpus_agree(self) -> Resources:
        if self.requests.get(GPU) != self.limits.get(GPU):
            raise ValueError(f"requests and limits of {GPU} must be the same; Kubernetes refuses other pods")
        if "memory" not in self.limits:
            raise ValueError("a limit of memory is missing; Ray takes its share of the node from it")
        return self


class NamedRef(_Strict):
    name: Name
    optional: bool = False


class EnvFrom(_Strict):
    secret_ref: NamedRef | None = None
    config_map_ref: NamedRef | None = None


class EnvVar(_Strict):
    name: str
    value: str


class Port(_Strict):
    name: Name
    container_port: int = Field(ge=1, le=65535)


class Mount(_Strict):
    name: Name
    mount_path: str
    read_only: bool = False


class Container(_Strict):
    name: Name
    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    env: list[EnvVar] = []
    env_from: list[EnvFrom] = []
    ports: list[Port] = []
    resources: Resources
    volume_mounts: list[Mount] = []


class EmptyDir(_Strict):
    medium: Literal["", "Memory"] = ""
    size_limit: Quantity


class Claim(_Strict):
    claim_name: Name


class Volume(_Strict):
    name: Name
    empty_dir: EmptyDir | None = None
    persistent_volume_claim: Claim | None = None


class Expression(_Strict):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class Term(_Strict):
    match_expressions: list[Expression]


class Terms(_Strict):
    node_selector_terms: list[Term]


class Preferred(_Strict):
    weight: int = Field(ge=1, le=100)
    preference: Term


class NodeAffinity(_Strict):
    required: Terms | None = Field(None, alias="requiredDuringSchedulingIgnoredDuringExecution")
    preferred: list[Preferred] = Field([], alias="preferredDuringSchedulingIgnoredDuringExecution")


class Affinity(_Strict):
    node_affinity: NodeAffinity


class Toleration(_Strict):
    key: LabelKey
    operator: Literal["Exists", "Equal"]
    value: str = ""
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"]


class PodSpec(_Strict):
    containers: list[Container] = Field(min_length=1)
    volumes: list[Volume] = []
    node_selector: dict[LabelKey, LabelValue] = {}
    affinity: Affinity | None = None
    tolerations: list[Toleration] = []
    service_account_name: Name | None = None
    termination_grace_period_seconds: int = Field(30, ge=0)

    @model_validator(mode="after")
    def _volumes_serve(self) -> PodSpec:
        known = {volume.name: volume for volume in self.volumes}
        mounts = {mount.mount_path: mount.name for mount in self.containers[0].volume_mounts}
        for path, name in mounts.items():
            if name not in known:
                raise ValueError(f"{path} mounts volume {name}, which is not among volumes")
        shared = known.get(mounts.get(SHM, ""))
        if shared is None or shared.empty_dir is None or shared.empty_dir.medium != "Memory":
            raise ValueError(f"mount an emptyDir of medium Memory at {SHM}: without it Ray's object store has 64 MB")
        memory = self.containers[0].resources.limits["memory"]
        if amount(shared.empty_dir.size_limit) > amount(memory) / 2:
            raise ValueError(f"{SHM} of {shared.empty_dir.size_limit} leaves too little of the pod's {memory}")
        return self


class Template(_Strict):
    spec: PodSpec


class Group(_Strict):
    """The head's group; a worker group has more."""

    labels: dict[LabelKey, LabelValue] = {}
    ray_start_params: dict[str, str] = {}
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


class Auth(_Strict):
    mode: Literal["disabled", "token"]
    secret_name: Name | None = None


class Autoscaler(_Strict):
    version: Literal["v1", "v2"]
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"] = "Default"
    idle_timeout_seconds: int = Field(60, ge=0)
    resources: Resources | None = None


class ClusterSpec(_Strict):
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
            raise ValueError(f"groups need names that differ; these are {', '.join(names)}")
        return self


class RayCluster(_Strict):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: ClusterSpec


class Submitter(_Strict):
    backoff_limit: int = Field(ge=0)


class JobSpec(_Strict):
    entrypoint: str = Field(min_length=1)
    submission_mode: Literal["K8sJobMode", "HTTPMode", "SidecarMode"] = "K8sJobMode"
    backoff_limit: int = Field(0, ge=0)
    submitter_config: Submitter | None = None
    shutdown_after_job_finishes: bool = False
    ttl_seconds_after_finished: int = Field(0, ge=0)
    active_deadline_seconds: int | None = Field(None, ge=1)
    ray_cluster_spec: ClusterSpec


class RayJob(_Strict):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: JobSpec


KINDS: dict[str, type[BaseModel]] = {"RayCluster": RayCluster, "RayJob": RayJob}


def read_manifest(path: Path) -> RayCluster | RayJob | dict[str, Any]:
    """A KubeRay manifest, or the dictionary of a cluster launcher's. Raises ManifestError."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ManifestError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if isinstance(data, dict) and "cluster_name" in data:
        return _launcher(path, data)
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind not in KINDS:
        raise ManifestError(
            f"{path} is neither a cluster launcher's YAML nor one of {', '.join(KINDS)}; kind is {kind}"
        )
    try:
        return KINDS[kind].model_validate(data)
    except ValidationError as error:
        raise ManifestError(f"{path}: {_explain(error)}") from None


def amount(quantity: str) -> float:
    """A Kubernetes quantity as a number, in cores or bytes."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity).groups()
    return float(number) * UNITS[unit]


def _launcher(path: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """By Ray's own schema, and for what the schema lets pass."""
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
    """The first fault in one line; for an unknown key with the nearest known one."""
    faults = error.errors()
    # A misspelt key is also a missing one: the misspelling says more.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = ".".join(map(str, first["loc"]))
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    near = difflib.get_close_matches(str(first["loc"][-1]), _known(RayJob) | _known(RayCluster), n=1)
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
