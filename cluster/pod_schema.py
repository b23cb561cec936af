"""Kubernetes' pods and network policies, with the keys that crucible's manifests use; other keys are errors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

GPU = "nvidia.com/gpu"
SHM = "/dev/shm"
UNITS = {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|Ki|Mi|Gi|Ti)?$")]
LabelKey = Annotated[str, StringConstraints(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$", max_length=63)]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, strict=True)


class Metadata(Strict):
    name: Name
    namespace: Name | None = None
    labels: dict[LabelKey, LabelValue] = {}


class Resources(Strict):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity]

    @model_validator(mode="after")
    def _gpus_agree(self) -> Resources:
        if self.requests.get(GPU) != self.limits.get(GPU):
            raise ValueError(f"requests and limits of {GPU} must be the same; Kubernetes refuses other pods")
        if "memory" not in self.limits:
            raise ValueError("a limit of memory is missing; Ray derives its share of the node from it")
        return self


class NamedRef(Strict):
    name: Name
    optional: bool = False


class EnvFrom(Strict):
    secret_ref: NamedRef | None = None
    config_map_ref: NamedRef | None = None


class KeyRef(Strict):
    name: Name
    key: str
    optional: bool = False


class ValueFrom(Strict):
    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None


class EnvVar(Strict):
    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class Port(Strict):
    name: Name
    container_port: int = Field(ge=1, le=65535)


class Mount(Strict):
    name: Name
    mount_path: str
    read_only: bool = False


class SeccompProfile(Strict):
    type: Literal["RuntimeDefault", "Localhost", "Unconfined"]
    localhost_profile: str | None = None


class Capabilities(Strict):
    drop: list[str] = []
    add: list[str] = []


class Security(Strict):
    """Settings that pods and containers share; a container's own has precedence."""

    run_as_non_root: bool | None = None
    run_as_user: int | None = Field(default=None, ge=0)
    run_as_group: int | None = Field(default=None, ge=0)
    seccomp_profile: SeccompProfile | None = None


class PodSecurity(Security):
    fs_group: int | None = Field(default=None, ge=0)
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = None
    supplemental_groups: list[int] = []


class ContainerSecurity(Security):
    allow_privilege_escalation: bool | None = None
    privileged: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities: Capabilities | None = None


class Container(Strict):
    name: Name
    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    security_context: ContainerSecurity | None = None
    env: list[EnvVar] = []
    env_from: list[EnvFrom] = []
    ports: list[Port] = []
    resources: Resources
    volume_mounts: list[Mount] = []


class EmptyDir(Strict):
    medium: Literal["", "Memory"] = ""
    size_limit: Quantity


class Claim(Strict):
    claim_name: Name


class AccountToken(Strict):
    path: str
    expiration_seconds: int | None = Field(default=None, ge=600)
    audience: str | None = None


class Item(Strict):
    key: str
    path: str


class FieldRef(Strict):
    field_path: str


class FieldItem(Strict):
    path: str
    field_ref: FieldRef


class Fields(Strict):
    items: list[FieldItem]


class MapSource(Strict):
    name: Name
    items: list[Item] = []


class Source(Strict):
    service_account_token: AccountToken | None = None
    config_map: MapSource | None = None
    downward_api: Fields | None = Field(default=None, alias="downwardAPI")


class Projected(Strict):
    sources: list[Source]


class SecretVolume(Strict):
    secret_name: Name
    items: list[Item] = []
    optional: bool = False


class Volume(Strict):
    name: Name
    empty_dir: EmptyDir | None = None
    persistent_volume_claim: Claim | None = None
    projected: Projected | None = None
    secret: SecretVolume | None = None


class Expression(Strict):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class Term(Strict):
    match_expressions: list[Expression]


class Terms(Strict):
    node_selector_terms: list[Term]


class Preferred(Strict):
    weight: int = Field(ge=1, le=100)
    preference: Term


class NodeAffinity(Strict):
    """Which nodes a pod may run on."""

    required: Terms | None = Field(default=None, alias="requiredDuringSchedulingIgnoredDuringExecution")
    preferred: list[Preferred] = Field(default=[], alias="preferredDuringSchedulingIgnoredDuringExecution")


class Affinity(Strict):
    node_affinity: NodeAffinity


class Toleration(Strict):
    key: LabelKey
    operator: Literal["Exists", "Equal"]
    value: str = ""
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"]


class Pod(Strict):
    """The keys of every pod."""

    containers: list[Container] = Field(min_length=1)
    volumes: list[Volume] = []
    security_context: PodSecurity | None = None
    automount_service_account_token: bool | None = None
    enable_service_links: bool | None = None
    node_selector: dict[LabelKey, LabelValue] = {}
    affinity: Affinity | None = None
    tolerations: list[Toleration] = []
    service_account_name: Name | None = None
    termination_grace_period_seconds: int = Field(default=30, ge=0)


class SubmitterPod(Pod):
    """The pod that submits the job to the cluster."""

    restart_policy: Literal["Never", "OnFailure"]


class PodSpec(Pod):
    """A node of the Ray cluster."""

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


class Labelled(Strict):
    labels: dict[LabelKey, LabelValue] = {}


class Template(Strict):
    metadata: Labelled = Labelled()
    spec: PodSpec


class SubmitterTemplate(Strict):
    metadata: Labelled = Labelled()
    spec: SubmitterPod


class Requirement(Strict):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[LabelValue] = []


class Selector(Strict):
    match_labels: dict[LabelKey, LabelValue] = {}
    match_expressions: list[Requirement] = []


class IpBlock(Strict):
    cidr: str
    excluded: list[str] = Field(default=[], alias="except")


class Peer(Strict):
    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None
    ip_block: IpBlock | None = None


class PolicyPort(Strict):
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class Ingress(Strict):
    sources: list[Peer] = Field(default=[], alias="from")
    ports: list[PolicyPort] = []


class Egress(Strict):
    to: list[Peer] = []
    ports: list[PolicyPort] = []


class PolicySpec(Strict):
    pod_selector: Selector
    policy_types: list[Literal["Ingress", "Egress"]] = Field(min_length=1)
    ingress: list[Ingress] = []
    egress: list[Egress] = []


class NetworkPolicy(Strict):
    api_version: Literal["networking.k8s.io/v1"]
    kind: Literal["NetworkPolicy"]
    metadata: Metadata
    spec: PolicySpec


def amount(quantity: str) -> float:
    """A Kubernetes quantity as a number, in cores or bytes."""
    unit = quantity.lstrip("0123456789.")
    return float(quantity.removesuffix(unit)) * UNITS[unit]
