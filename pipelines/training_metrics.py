"""What a worker that learns from given answers reports, on its way into the run folder and onto the console."""

from __future__ import annotations

import queue as queues
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from pipelines.artifacts.run_folder import RunFolder
from pipelines.progress import CountedProgress
from pipelines.whole_model import ModelReceiver

MOST_MESSAGES = 64
"""That wait in the queue: a worker that sends faster than the run folder is written waits."""


def record(folder: RunFolder, message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Writes what a worker reports into `metrics.jsonl`, and returns the rows that it is about.

    A worker that starts sends the rows of its checkpoint: later ones are of updates that it will make again, and those
    that are missing were on their way when the driver was killed.
    """
    if message["kind"] != "start":
        folder.append_metrics(message)
        return [message]
    rows: Sequence[Mapping[str, Any]] = message["rows"]
    folder.roll_back(max((row["step"] for row in rows), default=0))
    known = {(row.get("kind"), row.get("step")) for row in folder.metrics()}
    for row in rows:
        if (row["kind"], row["step"]) not in known:
            folder.append_metrics(row)
    return rows


class TrainingMetrics:
    """Takes a worker's rows from their queue into the run folder while the block runs, and shows the progress."""

    def __init__(self, folder: RunFolder, console: Console) -> None:
        self._folder, self._console = folder, console
        self.model = ModelReceiver(folder.path)
        self._done = threading.Event()
        self._error: Exception | None = None
        self._loss = self._validation = ""
        self._thread = threading.Thread(target=self._take_all, name="fine-tuning", daemon=True)

    def __enter__(self) -> TrainingMetrics:
        import ray
        from ray.util.queue import Queue

        # On the driver's node: where that goes, the run goes with it.
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        self.queue = Queue(MOST_MESSAGES, actor_options={"num_cpus": 0, "label_selector": here})
        self._progress = CountedProgress(self._console, "fine-tuning").__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()
        self._progress.__exit__(*exception)
        self.queue.shutdown(force=True)
        if self._error is not None:
            raise self._error

    def _take_all(self) -> None:
        """Until the workers have ended and the queue is empty. What goes wrong is raised at the end of the block.

        The rest is then let go: a worker must not wait for a queue that nobody empties.
        """
        while True:
            ended = self._done.is_set()
            try:
                message = self.queue.get(timeout=0.5)
            except queues.Empty:
                if ended:
                    return
                continue
            except Exception as error:  # the queue's own process has ended: no worker can fill it
                self._error = self._error or error
                return
            if self._error is None:
                try:
                    self._take(message)
                except Exception as error:
                    self._error = error

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["kind"] == "file":
            self.model.take(message)
            return
        if message["kind"] == "start":
            self.model.restart()
        for row in record(self._folder, message):
            self._show(row)

    def _show(self, row: Mapping[str, Any]) -> None:
        if row["kind"] == "validation":
            self._validation = f", validation {row['loss']:.3f}"
            self._progress.update(note=self._loss + self._validation)
        else:
            self._loss = f"loss {row['loss']:.3f}"
            self._progress.update(row["step"], self._loss + self._validation, row["steps"])
