"""What a cluster's manifest leaves open that it should not: one finding each, with the key that closes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.health import Finding, Grade
from cluster.manifest import Autoscaler, Manifest, RayCluster, RayJob
from cluster.pod_schema import Container, ContainerSecurity, EnvFrom, EnvVar, NetworkPolicy, Pod, PodSecurity
from cluster.secret_files import FILES, FOLDERS, secret_in

CLUSTER_LABEL = "crucible.io/cluster"
"""The label by which `networkpolicy.yaml` selects our pods."""
ROLE = "crucible.io/role"
VERIFY = "verify"
METADATA = ("169.254.0.0/16", "169.254.169.254/32")
"""Addresses of the clouds' metadata service, which gives out a machine's keys."""
SECRET_NAME = re.compile(r"(?i)(^|_)(token|key|secret|passw(or)?d|credentials?)s?(_|$)")
OWN_MOUNTS = ("*.pem", "auth_token", ".ray")
"""Patterns that would also exclude what the launcher itself syncs."""


def manifest_findings(manifest: Manifest | Mapping[str, Any]) -> list[Finding]:
    """What the manifest leaves open; empty if nothing."""
    if isinstance(manifest, NetworkPolicy):
        return list(_of_policy(manifest))
    if isinstance(manifest, RayCluster | RayJob):
        return list(_of_cluster(manifest))
    return list(_of_launcher(manifest))


def _unsafe(where: str, what: str, found: str, fix: str) -> Finding:
    return Finding(where, what, found, Grade.UNSAFE, fix)


def _of_cluster(manifest: RayCluster | RayJob) -> Iterator[Finding]:
    spec = manifest.spec if isinstance(manifest, RayCluster) else manifest.spec.ray_cluster_spec
    if spec.auth_options.mode != "token":
        yield _unsafe("cluster", "token", "whoever reaches the cluster runs code on it", "authOptions: {mode: token}")
    groups = {"head": spec.head_group_spec} | {group.group_name: group for group in spec.worker_group_specs}
    for name, group in groups.items():
        yield from _of_pod(name, group.template.spec, group.template.metadata.labels)
    if spec.enable_in_tree_autoscaling:
        yield from _of_autoscaler(
            spec.autoscaler_options or Autoscaler(version="v2"), spec.head_group_spec.template.spec
        )
    if isinstance(manifest, RayJob) and manifest.spec.submission_mode == "K8sJobMode":
        template = manifest.spec.submitter_pod_template
        if template is None:
            fix = "give submitterPodTemplate a securityContext as the other pods have"
            yield _unsafe("submitter", "pod", "KubeRay's own template lets it run as the image's user", fix)
        else:
            yield from _of_pod("submitter", template.spec, template.metadata.labels)
    sandboxes = [group for group in spec.worker_group_specs if group.labels.get(ROLE) == VERIFY]
    if not sandboxes:
        fix = f"a worker group with labels {{{ROLE}: {VERIFY}}} and no envFrom; --verify.labels {ROLE} {VERIFY}"
        yield _unsafe("cluster", "sandboxes", "models' programs run in the pods that have keys", fix)
    for group in sandboxes:
        if _secrets(group.template.spec.containers, group.template.spec):
            fix = "leave envFrom, secretKeyRef and secret volumes out of this group"
            yield _unsafe(group.group_name, "keys", "the pods that run models' programs have keys", fix)


def _of_pod(where: str, pod: Pod, labels: Mapping[str, str]) -> Iterator[Finding]:
    if pod.automount_service_account_token is not False:
        fix = "automountServiceAccountToken: false"
        yield _unsafe(where, "service account", "every container may speak to Kubernetes", fix)
    if CLUSTER_LABEL not in labels:
        fix = f"template.metadata.labels: {{{CLUSTER_LABEL}: NAME}}, and apply networkpolicy.yaml"
        yield _unsafe(where, "network", "no NetworkPolicy of ours knows its pods", fix)
    for container in pod.containers:
        yield from _of_container(where, container.security_context, pod.security_context)
        yield from _of_variables(where, container.env)


def _of_container(where: str, own: ContainerSecurity | None, pod: PodSecurity | None) -> Iterator[Finding]:
    own, pod = own or ContainerSecurity(), pod or PodSecurity()

    def setting(name: str) -> Any:
        value = getattr(own, name)
        return getattr(pod, name) if value is None else value

    if setting("run_as_non_root") is not True:
        yield _unsafe(where, "user", "it may run as root", "securityContext: {runAsNonRoot: true}")
    for name, key in (("run_as_user", "runAsUser"), ("run_as_group", "runAsGroup")):
        if not setting(name):
            yield _unsafe(where, key, "it is that of the image, or root's", f"securityContext: {{{key}: 10001}}")
    profile = setting("seccomp_profile")
    if profile is None or profile.type == "Unconfined":
        fix = "securityContext: {seccompProfile: {type: RuntimeDefault}}"
        yield _unsafe(where, "seccomp", "every system call is allowed", fix)
    if own.allow_privilege_escalation is not False:
        fix = "the container's securityContext: {allowPrivilegeEscalation: false}"
        yield _unsafe(where, "escalation", "programs that run as their owner, such as sudo, do", fix)
    if own.privileged:
        yield _unsafe(where, "privileged", "it has the machine's devices and all capabilities", "leave privileged out")
    capabilities = own.capabilities
    if capabilities is None or capabilities.drop != ["ALL"] or capabilities.add:
        fix = "the container's securityContext: {capabilities: {drop: [ALL]}}, and no add"
        yield _unsafe(where, "capabilities", "it has some of root's", fix)
    if own.read_only_root_filesystem is not True:
        fix = "the container's securityContext: {readOnlyRootFilesystem: true}, with volumes at /tmp and HOME"
        yield _unsafe(where, "file system", "the image's files can be written", fix)


def _of_autoscaler(autoscaler: Autoscaler, head: Pod) -> Iterator[Finding]:
    yield from _of_container("autoscaler", autoscaler.security_context, head.security_context)
    yield from _of_variables("autoscaler", autoscaler.env)
    if autoscaler.env_from or any(_from_secret(variable) for variable in autoscaler.env):
        yield _unsafe(
            "autoscaler", "keys", "it has keys, and no use for them", "leave envFrom out of autoscalerOptions"
        )
    tokens = {
        volume.name
        for volume in head.volumes
        if volume.projected and any(source.service_account_token for source in volume.projected.sources)
    }
    if any(mount.name in tokens for container in head.containers for mount in container.volume_mounts):
        fix = "mount the service account's token in autoscalerOptions.volumeMounts alone"
        yield _unsafe("head", "service account", "the head's container may speak to Kubernetes", fix)


def _of_variables(where: str, variables: Sequence[EnvVar]) -> Iterator[Finding]:
    for variable in variables:
        if variable.value and (SECRET_NAME.search(variable.name) or secret_in([variable.value])):
            fix = "a Secret, and valueFrom: {secretKeyRef: {name: ..., key: ...}}"
            yield _unsafe(where, variable.name, "the manifest itself holds what looks like a key", fix)


def _from_secret(variable: EnvVar) -> bool:
    return variable.value_from is not None and variable.value_from.secret_key_ref is not None


def _secrets(containers: Sequence[Container], pod: Pod) -> bool:
    def of_secret(source: EnvFrom) -> bool:
        return source.secret_ref is not None

    return any(volume.secret for volume in pod.volumes) or any(
        any(map(of_secret, container.env_from)) or any(map(_from_secret, container.env)) for container in containers
    )


def _of_policy(policy: NetworkPolicy) -> Iterator[Finding]:
    where, spec = policy.metadata.name, policy.spec
    if any(not rule.sources for rule in spec.ingress):
        yield _unsafe(where, "ingress", "a rule without `from` lets everybody in", "from: [{podSelector: ...}]")
    if any(not rule.to for rule in spec.egress):
        yield _unsafe(where, "egress", "a rule without `to` lets everything out", "to: [{podSelector: ...}]")
    for rule in spec.ingress:
        if any(peer.ip_block and peer.ip_block.cidr in ("0.0.0.0/0", "::/0") for peer in rule.sources):
            yield _unsafe(where, "ingress", "all addresses are let in", "from: [{podSelector: ...}]")
    for block in (peer.ip_block for rule in spec.egress for peer in rule.to if peer.ip_block):
        if block.cidr == "0.0.0.0/0" and not set(block.excluded) & set(METADATA):
            fix = f"ipBlock: {{cidr: 0.0.0.0/0, except: [{METADATA[0]}]}}"
            yield _unsafe(where, "metadata service", "the machine's keys are had from 169.254.169.254", fix)
    for kind, rules in (("Ingress", spec.ingress), ("Egress", spec.egress)):
        if rules and kind not in spec.policy_types:
            yield _unsafe(where, kind, "its rules have no effect", f"policyTypes: [..., {kind}]")


def _of_launcher(config: Mapping[str, Any]) -> Iterator[Finding]:
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        commands = config.get(name) or []
        starts = [command for command in commands if "ray start" in command]
        exported = any(re.search(r"export\s+RAY_AUTH_MODE=token", command) for command in commands)
        if any("RAY_AUTH_MODE=token" not in command.partition("ray start")[0] for command in starts) and not exported:
            fix = "RAY_AUTH_MODE=token before `ray start`"
            yield _unsafe(name, "token", "whoever reaches the cluster runs code on it", fix)
        if any(re.search(r"--dashboard-host[= ](0\.0\.0\.0|::)", command) for command in starts):
            fix = "--dashboard-host=127.0.0.1; ray dashboard FILE.yaml brings it here"
            yield _unsafe(name, "dashboard", "it listens to every network", fix)
    mounts = config.get("file_mounts") or {}
    if not any(remote.endswith("/.ray/auth_token") for remote in mounts):
        fix = "crucible token; file_mounts: {/home/USER/.ray/auth_token: ~/.ray/auth_token}"
        yield _unsafe("file_mounts", "token", "the nodes get no token, and start no Ray that asks for one", fix)
    excluded = [pattern.removeprefix("/").removeprefix("**/") for pattern in config.get("rsync_exclude") or []]
    missing = [pattern for pattern in (*FILES, *FOLDERS) if pattern not in excluded]
    if missing and mounts:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        fix = "rsync_exclude with the list of cluster/secret_files.py"
        yield _unsafe("rsync_exclude", "secrets", f"files go to the nodes such as {', '.join(missing[:3])}{more}", fix)
