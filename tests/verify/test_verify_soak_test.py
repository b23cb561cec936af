"""Small versions of `crucible verify soak` and `chaos`, whose defaults are 24,000 and 5,000 jobs."""

import pytest

from verify import cli
from verify.soak_test import ChaosResult, Sample, chaos, is_flat, soak


def test_memory_stays_flat():
    samples = list(soak(720, samples=6))
    assert [s.jobs for s in samples] == [120, 240, 360, 480, 600, 720]
    assert is_flat(samples), samples


def test_growth_is_detected():
    steady = [Sample(n, 50_000, 15_000, 9) for n in range(4)]
    assert is_flat(steady)
    for leak in (Sample(4, 60_000, 15_000, 9), Sample(4, 50_000, 15_900, 9), Sample(4, 50_000, 15_000, 10)):
        assert not is_flat([*steady, leak])


def test_every_verdict_is_right_while_processes_are_killed():
    """Zygotes, stubs and children, at any moment, even while a zygote starts."""
    result = chaos(240, 12, seed=1)
    assert result.ok and result.kills > 3, result


def test_every_verdict_is_right_while_actors_are_killed(local_ray):
    result = chaos(160, 4, actors=2, seed=3)
    assert result.ok and result.kills > 1, result


@pytest.mark.parametrize("fault", [{"wrong": 1}, {"unjudged": 1}, {"left": (7,)}])
def test_the_exit_status_reports_faults(fault, monkeypatch, capsys):
    good = {"jobs": 9, "kills": 3, "wrong": 0, "unjudged": 0, "left": ()}
    monkeypatch.setattr(cli, "chaos", lambda *_, **__: ChaosResult(**good))
    assert cli.main(["chaos", "--jobs", "9"]) == 0
    monkeypatch.setattr(cli, "chaos", lambda *_, **__: ChaosResult(**{**good, **fault}))
    assert cli.main(["chaos", "--jobs", "9"]) == 1
    assert "3 processes killed" in capsys.readouterr().out
