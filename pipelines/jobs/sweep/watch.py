"""What people see of a sweep while it runs, and the freeing of what a trial that has ended leaves in the engines."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback
from rich.console import Console

from pipelines.progress import CountedProgress
from problems.plain_text import shown


class Watch(Callback):
    """Ray Tune's callback: a progress bar of all trials' steps, a line for each trial that ends."""

    def __init__(self, console: Console, engines: list[Any], steps: int):
        self._console = console
        self._engines = engines
        self._steps = steps
        self._done: dict[str, int] = {}
        self._progress: CountedProgress | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks with its own state; a sweep that is resumed puts a fresh one in their place.
        return {**self.__dict__, "_console": None, "_engines": [], "_progress": None}

    def __enter__(self) -> Watch:
        self._progress = CountedProgress(self._console, "trials' steps").__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._progress is not None:
            self._progress.__exit__(*exception)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A report of a trial."""
        self._done[trial.trial_id] = int(result.get("step", 0))
        running = sum(t.status == "RUNNING" for t in trials)
        best = max((t.last_result.get("score") or 0.0 for t in trials if t.last_result), default=0.0)
        note = f"{running} running, {len(trials)} known, best score {best:.1%}"
        if self._progress is not None:
            total = len(trials) * self._steps
            self._progress.update(sum(self._done.values()), note, total)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has finished or was stopped."""
        last = trial.last_result or {}
        value = last.get("val_pass_at_1")
        result = f"val pass@1 {value:.1%}" if value is not None else f"stopped, score {last.get('score', 0.0):.1%}"
        self._console.print(
            shown(f"trial {trial.trial_id}: {result} after {last.get('step', 0)} steps  {_setting(trial)}")
        )
        self._free(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed for good."""
        self._console.print(shown(f"trial {trial.trial_id} failed  {_setting(trial)}", "red"))
        self._free(trial.trial_id)

    def _free(self, trial: str) -> None:
        # Nobody waits for the answer: an engine that is busy or being restarted frees it when it can.
        for engine in self._engines:
            engine.forget.remote(trial)


def _setting(trial: Any) -> str:
    return ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in trial.config.items())
