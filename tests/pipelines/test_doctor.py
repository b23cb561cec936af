"""The doctor's verdict on what it is shown."""

from pathlib import Path

from cluster.health import Finding, Grade
from pipelines.remote import doctor

ROOT = Path(__file__).resolve().parents[2]


def test_a_machine_is_examined_and_a_bad_place_for_runs_breaks_it(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    status = doctor.main(["--runs", str(tmp_path / "file" / "runs")])
    said = capsys.readouterr().out
    assert status == 1 and "1 of 8 findings would break a run" in said
    assert "isolation level" in said and "cannot be written to" in said


def test_what_is_only_slow_does_not_fail(monkeypatch, capsys):
    slow = Finding("a", "memory", "[1 GiB]", Grade.SLOW, "add memory")
    monkeypatch.setattr(doctor, "findings", lambda machines: [slow])
    assert doctor.main([]) == 0
    said = capsys.readouterr().out
    assert "slow" in said and "[1 GiB]" in said and "add memory" in said


def test_a_manifest_is_read(capsys, tmp_path):
    good = ROOT / "cluster" / "manifests" / "rayjob.yaml"
    assert doctor.main(["--manifest", str(good)]) == 0
    (tmp_path / "bad.yaml").write_text(good.read_text().replace("maxReplicas", "maxReplica", 1))
    assert doctor.main(["--manifest", str(tmp_path / "bad.yaml")]) == 2
    assert "did you mean maxReplicas" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_one_line(capsys):
    assert doctor.main(["--address", "127.0.0.1:9"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("crucible: no Ray cluster answers at 127.0.0.1:9") and said.count("\n") == 1
