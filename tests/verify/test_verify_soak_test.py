"""Long work with flat memory and work under kill -9; the commands' own numbers are 24,000 and 5,000."""

import pytest

from verify import cli
from verify.soak_test import Sample, Survived, is_flat, soak, storm


def test_memory_stays_flat():
    samples = list(soak(720, samples=6))
    assert [s.jobs for s in samples] == [120, 240, 360, 480, 600, 720]
    assert is_flat(samples), samples


def test_growth_is_seen():
    steady = [Sample(n, 50_000, 15_000, 9) for n in range(4)]
    assert is_flat(steady)
    for leak in (Sample(4, 60_000, 15_000, 9), Sample(4, 50_000, 15_900, 9), Sample(4, 50_000, 15_000, 10)):
        assert not is_flat([*steady, leak])


def test_killed_at_random_every_job_ends_rightly():
    """Zygotes, stubs and children alike, at any moment: also while a zygote starts."""
    done = storm(240, 12, seed=1)
    assert done.well and done.kills > 3, done


def test_killed_actors_too(local_ray):
    done = storm(160, 4, actors=2, seed=3)
    assert done.well and done.kills > 1, done


@pytest.mark.parametrize("harm", [{"wrong": 1}, {"unjudged": 1}, {"left": (7,)}])
def test_the_command_tells_of_harm_by_its_exit_status(harm, monkeypatch, capsys):
    well = {"jobs": 9, "kills": 3, "wrong": 0, "unjudged": 0, "left": ()}
    monkeypatch.setattr(cli, "storm", lambda *_, **__: Survived(**well))
    assert cli.main(["storm", "--jobs", "9"]) == 0
    monkeypatch.setattr(cli, "storm", lambda *_, **__: Survived(**{**well, **harm}))
    assert cli.main(["storm", "--jobs", "9"]) == 1
    assert "3 processes killed" in capsys.readouterr().out
