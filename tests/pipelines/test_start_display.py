"""What a user sees while engines start, and when one does not."""

import io
import json
import shutil

import pytest
from rich.console import Console

from pipelines import start_display
from pipelines.start_display import StartDisplay, phases_line
from rollout.starting import DOWNLOADING, PLACING, StartReport

LOADING = StartReport("loading weights")


def test_engines_are_counted_by_phase():
    assert phases_line({0: LOADING}, 1) == "starting the rollout engine: loading weights"
    reports = {0: LOADING, 2: StartReport(PLACING), 3: LOADING}
    assert (
        phases_line(reports, 4)
        == "starting 4 rollout engines: 2 loading weights, 1 waiting for a place on the cluster, 1 up"
    )


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(start_display.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with StartDisplay(1, Console(file=out, width=60)) as display:
        for second in range(36):
            now[0] = float(second)
            display.update({0: StartReport(DOWNLOADING, 2**20 * second, 2**26) if second < 25 else LOADING})
    assert out.getvalue().splitlines() == [
        "starting the rollout engine: downloading the model 10 MiB of 64 MiB (10 s)",
        "starting the rollout engine: downloading the model 20 MiB of 64 MiB (20 s)",
        "starting the rollout engine: loading weights (30 s)",
    ]


def test_a_terminal_shows_phase_and_bar_and_is_left_clean():
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    with StartDisplay(2, console) as display:
        display.update({0: StartReport(DOWNLOADING, 3 * 2**28, 2**30), 1: StartReport("[red]\x1b[2J")})
    text = out.getvalue()
    assert "downloading the model" in text and "0.8/1.0 GiB" in text and "[red]" in text and "\x1b[2J\x1b" not in text
    assert "\x1b[?25h" in text, "the cursor is back"


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_one_line_and_its_log_is_kept(
    tiny_student, ray_local, tmp_path, capsys, monkeypatch
):
    from tests.pipelines.tenth_job import main

    monkeypatch.setenv("CRUCIBLE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(tiny_student, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"architectures": ["FooForCausalLM"]}))
    arguments = ["--model", tmp_path / "model", "--runs", tmp_path, "--name", "foo", "--sample", "True"]
    assert main([*map(str, arguments), "--evaluation.problems", "3"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("crucible: ")]
    assert "did not start: vLLM does not support the architecture of" in line and "FooForCausalLM" in line
    (log,) = (tmp_path / "cache" / "logs").iterdir()
    assert str(log) in line and "Model architectures" in log.read_text() and log.stat().st_mode & 0o777 == 0o600
