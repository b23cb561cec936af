"""The manifests that we ship, by Ray's schema, by KubeRay's where it is at hand, and by our own strict parser."""

import os
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

from cluster.manifest import GPU, ManifestError, RayCluster, RayJob, read_manifest, read_manifests

FOLDER = Path(__file__).resolve().parents[2] / "cluster" / "manifests"
ALL = sorted(path.name for path in FOLDER.glob("*.yaml"))


def test_there_is_one_of_each_kind():
    assert ALL == ["launcher.yaml", "networkpolicy.yaml", "raycluster.yaml", "rayjob.yaml"]


@pytest.mark.parametrize("name", ALL)
def test_ours_are_read(name):
    read_manifests(FOLDER / name)


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_rollout_and_learner_have_groups_of_their_own(name):
    manifest = read_manifest(FOLDER / name)
    spec = manifest.spec if isinstance(manifest, RayCluster) else manifest.spec.ray_cluster_spec
    assert spec.ray_version == ray.__version__
    assert spec.enable_in_tree_autoscaling and spec.auth_options.mode == "token"
    roles = [(g.labels["crucible.io/role"], g.labels["ray.io/market-type"], g.gpus) for g in spec.worker_group_specs]
    assert roles == [("learner", "on-demand", 1), ("rollout", "spot", 1), ("rollout", "spot", 1), ("verify", "spot", 0)]
    for group in spec.worker_group_specs:
        spot = group.labels["ray.io/market-type"] == "spot"
        pod = group.template.spec
        assert spot == bool(pod.affinity.node_affinity.preferred), "the learner asks for no spot node"
        assert spot == any("spot" in toleration.value + toleration.key for toleration in pod.tolerations)
        assert any(toleration.key == GPU for toleration in pod.tolerations) == (group.gpus > 0)


def test_the_jobs_cluster_is_the_standing_one():
    cluster, job = (yaml.safe_load((FOLDER / name).read_text()) for name in ("raycluster.yaml", "rayjob.yaml"))
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_the_launchers_groups_carry_the_same_roles():
    kinds = read_manifest(FOLDER / "launcher.yaml")["available_node_types"]
    roles = {name: kind["labels"].get("crucible.io/role") for name, kind in kinds.items() if "labels" in kind}
    assert roles == {"learner": "learner", "rollout-fast": "rollout", "rollout-slow": "rollout"}
    assert all(kinds[name]["node_config"]["InstanceMarketOptions"] for name in ("rollout-fast", "rollout-slow"))
    assert "InstanceMarketOptions" not in kinds["learner"]["node_config"]


def test_crucible_takes_the_jobs_command():
    from pipelines.config import GRPOConfig
    from pipelines.options import parse

    manifest = read_manifest(FOLDER / "rayjob.yaml")
    assert isinstance(manifest, RayJob)
    program, verb, flag, *options = shlex.split(manifest.spec.entrypoint)
    assert (program, verb, flag) == ("crucible", "grpo", "--or-resume")
    config = parse(GRPOConfig, options, prog="crucible grpo")
    assert config.hardware.learner.labels == {"crucible.io/role": "learner"}
    assert config.hardware.engine.labels == {"crucible.io/role": "rollout"}
    assert config.verify.labels == {"crucible.io/role": "verify"}


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("raycluster.yaml", "minReplicas: 1", "minReplica: 1", r"unknown key .*minReplica; did you mean minReplicas"),
        ("raycluster.yaml", "maxReplicas: 8", "maxReplicas: 0", r"maxReplicas.*greater than or equal to 1"),
        ("raycluster.yaml", "minReplicas: 1", "minReplicas: 3", r"replicas 1 of group learner must lie between"),
        ("raycluster.yaml", 'limits: {cpu: "8"', 'limits: {cpu: "eight"', r"limits[.]cpu"),
        ("raycluster.yaml", "/dev/shm", "/dev/sham", r"mount an emptyDir of medium Memory at /dev/shm"),
        (
            "raycluster.yaml",
            "sizeLimit: 4Gi",
            "sizeLimit: 12Gi",
            r"/dev/shm of 12Gi leaves too little of the pod's 16Gi",
        ),
        ("raycluster.yaml", '128Gi, nvidia.com/gpu: "1"', '128Gi, nvidia.com/gpu: "2"', r"requests and limits"),
        ("raycluster.yaml", "mode: token", "mode: tokens", r"authOptions[.]mode"),
        ("rayjob.yaml", "ttlSecondsAfterFinished", "ttlSecondAfterFinished", r"did you mean ttlSecondsAfterFinished"),
        ("rayjob.yaml", "kind: RayJob", "kind: RayService", r"kind is RayService"),
        ("rayjob.yaml", "spec:", "spec", r"is not YAML"),
        ("launcher.yaml", "upscaling_speed", "upscaling_sped", r"upscaling_sped"),
        ("launcher.yaml", "head_node_type: head", "head_node_type: haed", r"haed is not in available_node_types"),
        ("launcher.yaml", "min_workers: 1", "min_workers: 99", r"learner has more min_workers than max_workers"),
    ],
)
def test_a_mistake_is_said_in_one_line(tmp_path, name, old, new, says):
    text = (FOLDER / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError, match=says) as caught:
        read_manifest(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_kuberay_itself_would_take_them(name):
    """CRUCIBLE_KUBERAY_CRDS names a folder of KubeRay's own definitions, rayclusters.yaml and rayjobs.yaml."""
    folder = os.environ.get("CRUCIBLE_KUBERAY_CRDS")
    if not folder:
        pytest.skip("CRUCIBLE_KUBERAY_CRDS is not set")
    crd = yaml.safe_load((Path(folder) / name.replace(".yaml", "s.yaml")).read_text())
    (version,) = [v for v in crd["spec"]["versions"] if v["name"] == "v1"]
    schema = _closed(version["schema"]["openAPIV3Schema"]) | {"additionalProperties": False}
    schema["properties"]["metadata"] = {"type": "object"}
    manifest = yaml.safe_load((FOLDER / name).read_text())
    jsonschema.validate(manifest, schema)
    manifest["spec"]["unknown"] = 1
    with pytest.raises(jsonschema.ValidationError, match="unknown"):
        jsonschema.validate(manifest, schema)


def _closed(schema):
    """A structural schema as JSON Schema: unknown keys are errors, and quantities may be numbers or strings."""
    if isinstance(schema, list):
        return [_closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(inner) for key, inner in schema.items()}
    if closed.get("x-kubernetes-int-or-string") is True:
        closed.pop("type", None)
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def test_no_manifest_holds_a_secret():
    for path in FOLDER.iterdir():
        assert not re.search(
            r"AKIA[0-9A-Z]{16}|(?i:(secret|token|password)\s*[:=]\s*['\"]?[A-Za-z0-9+/]{16,})", path.read_text()
        )
