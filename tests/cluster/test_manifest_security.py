"""What a manifest leaves open is a finding with its fix: each key that closes something, left out of ours or turned."""

import re
from pathlib import Path

import pytest
import yaml

from cluster.health import Grade
from cluster.manifest import KINDS, ManifestError, read_manifest, read_manifests
from cluster.manifest_security import manifest_findings
from pipelines.remote import doctor

FOLDER = Path(__file__).resolve().parents[2] / "cluster" / "manifests"
POD = ("automountServiceAccountToken", "runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile")
CONTAINER = ("allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities")
TURNED = {
    "automountServiceAccountToken": True, "runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0,
    "seccompProfile": {"type": "Unconfined"}, "allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False,
    "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
}  # fmt: skip


def load(name):
    return yaml.safe_load((FOLDER / name).read_text())


def findings(data):
    return manifest_findings(KINDS[data["kind"]].model_validate(data))


def apart(data):
    """A copy without YAML's anchors, by which two pods share what is to be changed in one."""
    if isinstance(data, dict):
        return {key: apart(value) for key, value in data.items()}
    return [apart(item) for item in data] if isinstance(data, list) else data


def places(data, key, path=()):
    """Where a key is, as paths."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key:
                yield (*path, name)
            yield from places(value, key, (*path, name))
    if isinstance(data, list):
        for index, value in enumerate(data):
            yield from places(value, key, (*path, index))


def holder(data, path):
    for step in path[:-1]:
        data = data[step]
    return data


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.yaml")))
def test_ours_leave_nothing_open(name, capsys):
    assert doctor.main(["--manifest", str(FOLDER / name)]) == 0
    assert "let others in" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
@pytest.mark.parametrize("key", [*POD, *CONTAINER])
def test_each_key_is_asked_for_wherever_it_is(name, key):
    ours = apart(load(name))
    found = list(places(ours, key))
    assert len(found) >= 5, "one for each pod"
    for path in found:
        for change in ("drop", "turn"):
            changed = apart(ours)
            place = holder(changed, path)
            del place[key]
            if change == "turn":
                place[key] = TURNED[key]
            (finding,) = {f.what: f for f in findings(changed)}.values()
            assert finding.grade is Grade.UNSAFE and key in finding.fix, (path, change)


def test_the_doctor_names_them_and_fails(tmp_path, capsys):
    text = (FOLDER / "raycluster.yaml").read_text().replace("runAsNonRoot: true", "runAsNonRoot: false")
    (tmp_path / "open.yaml").write_text(text)
    assert doctor.main(["--manifest", str(tmp_path / "open.yaml")]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"head +unsafe +user .*runAsNonRoot: true", shown) and "let others in" in shown


def cluster(change):
    """raycluster.yaml with `change` made to its spec."""
    data = apart(load("raycluster.yaml"))
    change(data["spec"])
    return data


def group(spec, name):
    return next(group for group in spec["workerGroupSpecs"] if group["groupName"] == name)["template"]["spec"]


SECRET_ENV = [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
OPEN = {
    "no token": (lambda s: s["authOptions"].update(mode="disabled"), "authOptions"),
    "no sandboxes": (lambda s: s["workerGroupSpecs"].pop(), "--verify.labels"),
    "keys beside programs": (
        lambda s: group(s, "verify")["containers"][0].update(envFrom=[{"secretRef": {"name": "crucible-env"}}]),
        "envFrom",
    ),
    "a key beside programs": (lambda s: group(s, "verify")["containers"][0].update(env=SECRET_ENV), "secretKeyRef"),
    "a secret volume beside programs": (
        lambda s: group(s, "verify")["volumes"].append({"name": "k", "secret": {"secretName": "s"}}),
        "secret volumes",
    ),
    "a key in the manifest": (
        lambda s: group(s, "learner")["containers"][0].update(env=[{"name": "HF_TOKEN", "value": "hf_abc"}]),
        "secretKeyRef",
    ),
    "a key by its form": (
        lambda s: group(s, "learner")["containers"][0].update(env=[{"name": "A", "value": "sk-ant-" + "a" * 30}]),
        "secretKeyRef",
    ),
    "no policy": (lambda s: s["headGroupSpec"]["template"]["metadata"].pop("labels"), "networkpolicy.yaml"),
    "privileged": (
        lambda s: group(s, "learner")["containers"][0]["securityContext"].update(privileged=True),
        "leave privileged out",
    ),
    "some capabilities": (
        lambda s: group(s, "learner")["containers"][0]["securityContext"].update(capabilities={"drop": ["NET_RAW"]}),
        "drop: [ALL]",
    ),
    "a second container": (
        lambda s: group(s, "learner")["containers"].append(
            {"name": "more", "image": "x", "resources": group(s, "learner")["containers"][0]["resources"]}
        ),
        "allowPrivilegeEscalation",
    ),
    "the head speaks to Kubernetes": (
        lambda s: s["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"].append(
            {"name": "kubernetes", "mountPath": "/x"}
        ),
        "autoscalerOptions.volumeMounts",
    ),
    "the autoscaler's container": (lambda s: s["autoscalerOptions"].pop("securityContext"), "readOnlyRootFilesystem"),
    "no autoscaler options": (lambda s: s.pop("autoscalerOptions"), "allowPrivilegeEscalation"),
    "the autoscaler's keys": (
        lambda s: s["autoscalerOptions"].update(envFrom=[{"secretRef": {"name": "s"}}]),
        "leave envFrom out",
    ),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open_is_found_with_its_fix(name):
    change, fix = OPEN[name]
    found = findings(cluster(change))
    assert found and any(fix in finding.fix for finding in found), found


@pytest.mark.parametrize("key", ["hostNetwork", "hostPID", "hostIPC", "hostPath", "shareProcessNamespace"])
def test_what_leads_out_of_the_pod_is_no_key_of_ours(tmp_path, key):
    data = cluster(lambda s: group(s, "learner").update({key: True}))
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(ManifestError, match=f"unknown key .*{key}"):
        read_manifests(tmp_path / "x.yaml")


def test_the_job_without_a_submitters_template_is_open():
    data = apart(load("rayjob.yaml"))
    del data["spec"]["submitterPodTemplate"]
    assert [f.node for f in findings(data)] == ["submitter"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (", except: [169.254.0.0/16]", "", "metadata service"),
        (
            "    - from:\n        - podSelector: {matchLabels: {crucible.io/cluster: crucible}}\n",
            "    - {}\n",
            "ingress",
        ),
        ("    - to:\n        - podSelector: {matchLabels: {crucible.io/cluster: crucible}}\n", "    - {}\n", "egress"),
        ("policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]", "Egress"),
        ("- podSelector: {matchLabels: {crucible.io/cluster: crucible}}", "- ipBlock: {cidr: 0.0.0.0/0}", "ingress"),
    ],
)
def test_a_policy_that_lets_through_is_found(tmp_path, old, new, what):
    text = (FOLDER / "networkpolicy.yaml").read_text()
    assert old in text
    (tmp_path / "policy.yaml").write_text(text.replace(old, new, 1))
    found = [f for manifest in read_manifests(tmp_path / "policy.yaml") for f in manifest_findings(manifest)]
    assert what in {f.what for f in found}


def test_sandboxes_reach_nothing_outside():
    policies = read_manifests(FOLDER / "networkpolicy.yaml")
    (out,) = [p for p in policies if any(peer.ip_block for rule in p.spec.egress for peer in rule.to)]
    (without,) = out.spec.pod_selector.match_expressions
    assert (without.key, without.operator, without.values) == ("crucible.io/role", "NotIn", ["verify"])
    (pod,) = [g for g in read_manifest(FOLDER / "raycluster.yaml").spec.worker_group_specs if g.group_name == "verify"]
    assert pod.template.metadata.labels["crucible.io/role"] == "verify" == pod.labels["crucible.io/role"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("RAY_AUTH_MODE=token", "", "token"),
        ("/home/ubuntu/.ray/auth_token: ~/.ray/auth_token", "", "token"),
        ('"**/*.key",', "", "secrets"),
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "dashboard"),
    ],
)
def test_a_launcher_that_leaves_something_open_is_found(tmp_path, old, new, what):
    text = (FOLDER / "launcher.yaml").read_text()
    assert old in text
    (tmp_path / "launcher.yaml").write_text(text.replace(old, new))
    assert {f.what for f in manifest_findings(read_manifest(tmp_path / "launcher.yaml"))} == {what}


@pytest.mark.parametrize(
    "text", ["", "---\n", "a: 1", "- 1", "kind: Pod", "a: [", "kind: [RayCluster]", "\x00", "? {}"]
)
def test_what_is_no_manifest_is_one_line(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_manifests(tmp_path / "x.yaml")
    assert "\n" not in str(caught.value)


def test_the_image_has_no_way_to_root():
    text = (FOLDER / "Dockerfile").read_text()
    assert re.search(r"^FROM \S+@sha256:\$\{BASE_DIGEST\}$", text, re.MULTILINE)
    assert re.search(r"^ARG BASE_DIGEST$", text, re.MULTILINE), "a digest has no default"
    assert "purge --yes --allow-remove-essential sudo" in text and "chmod a-s" in text
    assert re.search(r"^FROM \S+-cpu@", text, re.MULTILINE), "torch brings the one CUDA that there is"
    lines = text.splitlines()
    users = [line for line in lines if line.startswith("USER")]
    assert users[-1] == "USER 10001:10001" and not [line for line in lines if "--chown=" in line and "root" not in line]
    user = load("raycluster.yaml")["spec"]["headGroupSpec"]["template"]["spec"]["securityContext"]
    assert (user["runAsUser"], user["runAsGroup"]) == (10001, 10001)
