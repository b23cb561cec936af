"""Counted work, shown: lines where there is no terminal, seldom enough to be read."""

import io

import pytest
from rich.console import Console

from pipelines import progress
from pipelines.progress import CountedProgress


@pytest.fixture
def clock(monkeypatch):
    """`clock.now` is what the progress takes for the time."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def test_a_captured_log_has_a_line_every_ten_seconds(clock):
    text = io.StringIO()
    with CountedProgress(Console(file=text, width=30), "evaluating before", 1280, done=80) as bar:
        for second in range(1, 31):
            clock.now = second
            bar.update(80 + 10 * second, f"pass@1 {second} %")
    assert text.getvalue().splitlines() == [
        "evaluating before 180/1,280  pass@1 10 %  (10 s, about 110 s left)",
        "evaluating before 280/1,280  pass@1 20 %  (20 s, about 100 s left)",
        "evaluating before 380/1,280  pass@1 30 %  (30 s, about 90 s left)",
    ]


def test_what_is_short_or_stands_still_says_nothing(clock):
    text = io.StringIO()
    with CountedProgress(Console(file=text), "asking the teacher", 4) as bar:
        for done in range(5):
            clock.now = done
            bar.update(done)
    assert text.getvalue() == ""


def test_a_total_may_come_later_and_names_are_plain_text(clock):
    text = io.StringIO()
    with CountedProgress(Console(file=text), "evaluating [red]x\n\x1b[31m") as bar:
        clock.now = 11.0
        bar.update(3, note="[bold]loss[/bold] 0.5")
        clock.now = 30.0
        bar.update(total=0)
    first, second = text.getvalue().splitlines()
    assert first.startswith("evaluating [red]x") and first.endswith("3  [bold]loss[/bold] 0.5  (11 s)")
    assert "\x1b" not in text.getvalue() and "3/0" in second


def test_a_terminal_has_a_bar_and_no_lines(clock):
    text = io.StringIO()
    with CountedProgress(Console(file=text, force_terminal=True, width=100), "fine-tuning", 8) as bar:
        clock.now = 20.0
        bar.update(4, "loss 0.5")
        bar._bar.refresh()
    assert "4/8" in text.getvalue() and "(20 s" not in text.getvalue()
