"""The verify pool.

`Judge` judges batches in this process, with its own zygote. `VerifyActor` is a `Judge` as a Ray actor, `VerifyPool` a
set of actors that resends a batch when its actor dies, `JudgeRows` a `Judge` as a Ray Data stage. Only the functions
that need Ray import it.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from problems.problem import Problem, Status, Test, Verdict
from verify.config import VerifyConfig
from verify.keys import drop_keys
from verify.kinds.common import NOT_COMPARED
from verify.prepare import BadProblem, prepare
from verify.sandbox.executor import Sandbox
from verify.sandbox.probe import IsolationTooLow, Probe, require
from verify.sandbox.worker import Plan, ZygoteDied
from verify.thinking import continued
from verify.verdict import Item, Reading, judge, judge_readings, read

_KNOWN = Problem(
    id="known",
    family="known",
    family_version=1,
    difficulty=1,
    split="train",
    statement="n squared plus one",
    entry_point="known",
    signature="def known(n: int) -> int:",
    public_examples=(),
    hidden_tests=tuple(Test((n,), n * n + 1) for n in range(4)),
)
_RIGHT = "```python\ndef known(n):\n    return n * n + 1\n```"
_WRONG = "```python\ndef known(n):\n    return n * n\n```"


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """The processes of a judge and their counters, for tests and attacks that observe them from outside."""

    pids: set[int]
    """Its trusted processes: itself, the zygotes and their stubs."""
    uid: int
    """User of the zygote's children."""
    own_user: bool
    """True if that user is used by the sandbox alone."""
    zygotes: int
    """Zygotes started so far. When it rises, one had died and was replaced."""
    bytes_read: int
    """Bytes read from children so far."""


class Judge:
    """Judges completions with one sandbox, and caches verdicts. One thread drives it.

    Raises IsolationTooLow if the machine cannot enforce `min_isolation`, ZygoteDied if no zygote starts.
    """

    def __init__(self, config: VerifyConfig | None = None, plan: Plan | None = None):
        self.config = config or VerifyConfig()
        self.sandbox = Sandbox(self.config, plan)
        self.counts = {"judged": 0, "cached": 0, "infrastructure": 0, "not_compared": 0}
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()
        self._probed = -1
        try:
            self.probe = self._probe()
        except BaseException:
            self.sandbox.close()
            raise

    def judge(self, problem: Problem, completion: str, finish_reason: str = "stop", prompt: str = "") -> Verdict:
        """Judges one completion. `prompt` is the text that it continues, which may have opened its thinking."""
        return self.judge_batch([(problem, continued(prompt, completion), finish_reason)])[0]

    def judge_batch(self, items: Sequence[Item]) -> list[Verdict]:
        """Judges completions, in the order of `items`; equal programs for equal problems are run once."""
        readings = [read(*item, self.config) for item in items]
        keys = [_key(reading) for reading in readings]
        todo = {key: reading for key, reading in zip(keys, readings) if key not in self._verdicts}
        fresh = dict(zip(todo, self._judge(list(todo.values()))))
        verdicts = [fresh[key] if key in fresh else self._verdicts[key] for key in keys]
        if self.config.cache:
            self._verdicts.update((k, v) for k, v in fresh.items() if v.status is not Status.INFRASTRUCTURE)
            while len(self._verdicts) > self.config.cache_size:
                self._verdicts.popitem(last=False)
        self.counts["judged"] += len(fresh)
        self.counts["cached"] += len(items) - len(fresh)
        self.counts["infrastructure"] += sum(v.status is Status.INFRASTRUCTURE for v in verdicts)
        self.counts["not_compared"] += sum(v.detail.startswith(NOT_COMPARED) for v in fresh.values())
        return verdicts

    def judge_code(self, problem: Problem, code: str) -> Verdict:
        """Judges a bare program, without extraction or cache."""
        try:
            return self._judge([Reading(prepare(problem, self.config), code)])[0]
        except BadProblem as error:
            return Verdict(Status.INFRASTRUCTURE, detail=str(error))

    def process_info(self) -> ProcessInfo:
        """The processes of this judge."""
        zygote = self.sandbox.zygote()
        pids = {os.getpid()} | {pid for z in self.sandbox.zygotes for pid in z.pids}
        uid, started = zygote.report["uid"], self.sandbox.started
        return ProcessInfo(pids, uid, uid != os.getuid(), started, self.sandbox.bytes_read)

    def _judge(self, readings: list[Reading]) -> list[Verdict]:
        if all(reading.verdict is not None for reading in readings):
            return judge_readings(readings, self.sandbox)
        for left in reversed(range(self.config.retries + 1)):
            try:
                if self.sandbox.started != self._probed:
                    self._probe()
                break
            except (ZygoteDied, IsolationTooLow) as error:
                if not left:
                    return [Verdict(Status.INFRASTRUCTURE, detail=str(error)) for _ in readings]
        return judge_readings(readings, self.sandbox)

    def _probe(self) -> Probe:
        """Probes a new zygote, and makes it judge two programs whose verdicts are known. Raises as the constructor."""
        self.sandbox.zygote()
        started = self.sandbox.started
        found = require(self.sandbox)
        right, wrong = (judge(_KNOWN, text, "stop", self.sandbox).status for text in (_RIGHT, _WRONG))
        if (right, wrong) != (Status.PASSED, Status.WRONG_ANSWER):
            raise ZygoteDied(f"the sandbox misjudges known programs ({right}, {wrong}); run `crucible verify probe`")
        self._probed = started
        return found

    def close(self) -> None:
        """Ends the zygotes. The judge cannot be used afterwards."""
        self.sandbox.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(reading: Reading) -> str:
    """Cache key: the program, and everything about the problem that the verdict depends on."""
    identity = reading.prepared.identity if reading.prepared else ""
    early = repr(reading.verdict) if reading.verdict else ""
    return hashlib.sha256("\0".join((identity, early, reading.text)).encode("utf-8", "surrogatepass")).hexdigest()


class JudgeRows:
    """A Ray Data stage: `dataset.map_batches(JudgeRows, fn_constructor_args=(config,), concurrency=n)`.

    Input columns are `problem` (rows of `Problem.to_row`), `text`, `finish_reason` and, optionally, `prompt`: its chat
    template may have opened the thinking. Adds the column `verdict` (rows of `Verdict.to_row`). A row that cannot be
    judged gets an `infrastructure` verdict; nothing is raised.
    """

    def __init__(self, config: VerifyConfig | None = None):
        drop_keys()
        self.judge = Judge(config)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Judges one batch. It is faster if rows of the same problem are in the same batch."""
        problems: dict[str, Problem] = {}
        verdicts: list[Verdict | None] = []
        items: list[Item] = []
        prompts = batch.get("prompt", [""] * len(batch["text"]))
        for row, text, finish_reason, prompt in zip(batch["problem"], batch["text"], batch["finish_reason"], prompts):
            try:
                key = repr(sorted(row.items()))
                problem = problems.get(key) or Problem.from_row(row)
            except Exception as error:  # whatever such a row holds, it must not affect the others
                detail = f"the row of the problem cannot be read: {type(error).__name__}: {error}"
                verdicts.append(Verdict(Status.INFRASTRUCTURE, detail=detail))
                continue
            problems[key] = problem
            items.append((problem, continued(str(prompt or ""), str(text)), str(finish_reason)))
            verdicts.append(None)
        judged = iter(self.judge.judge_batch(items))
        rows = [(verdict or next(judged)).to_row() for verdict in verdicts]
        return {**batch, "verdict": rows}


class VerifyActor(Judge):
    """A Judge to run as a Ray actor: `ray.remote(VerifyActor).remote(config)`, or `start_actor(config)`."""

    def __init__(self, config: VerifyConfig | None = None):
        drop_keys()
        super().__init__(config)

    def ready(self) -> int:
        """The isolation level; answers once the actor is up."""
        return self.sandbox.level

    def stats(self) -> dict[str, int]:
        """Counts of completions that were judged, cached, failed by the infrastructure, or made the judge raise."""
        return {**self.counts, "zygotes_started": self.sandbox.started, "isolation": self.sandbox.level}


def start_actor(config: VerifyConfig | None = None, **options: Any) -> Any:
    """A VerifyActor on the running Ray, which restarts it whenever it dies. `options` go to Ray. Does not wait."""
    import ray

    config = config or VerifyConfig()
    settings = {**config.placement, "max_restarts": -1, "max_task_retries": 0, **options}
    return ray.remote(VerifyActor).options(**settings).remote(config)


class VerifyPool:
    """Actors that share the work of one caller. If an actor dies, another one gets its batch."""

    def __init__(self, config: VerifyConfig | None = None, **options: Any):
        self.config = config or VerifyConfig()
        self.actors = [start_actor(self.config, **options) for _ in range(self.config.actors)]

    def judge_batch(self, items: Sequence[Item]) -> list[Verdict]:
        """Judges completions over all actors; after a failure of the infrastructure another actor retries, up to
        `retries` times.

        Never raises for an actor that dies: what could not be judged in the end has the status `infrastructure`.
        """
        verdicts = [Verdict(Status.INFRASTRUCTURE, detail="no verify actor answered") for _ in items]
        left = list(range(len(items)))
        for attempt in range(self.config.retries + 1):
            self._pass(items, left, verdicts, attempt)
            left = [i for i in left if verdicts[i].status is Status.INFRASTRUCTURE]
            if not left:
                break
        return verdicts

    def _pass(self, items: Sequence[Item], left: list[int], verdicts: list[Verdict], attempt: int) -> None:
        import ray
        from ray.exceptions import RayError

        # Retries are sent one by one: if an item kills its actor, it takes no other item down with it again.
        size = self.config.batch_size if attempt == 0 else 1
        chunks = [left[i : i + size] for i in range(0, len(left), size)]
        pending: dict[Any, tuple[list[int], int]] = {}
        free = [(i + attempt) % len(self.actors) for i in range(len(self.actors))]
        while chunks or pending:
            while chunks and free:
                chunk, actor = chunks.pop(0), free.pop(0)
                pending[self.actors[actor].judge_batch.remote([items[i] for i in chunk])] = (chunk, actor)
            (done,), _ = ray.wait(list(pending), num_returns=1)
            chunk, actor = pending.pop(done)
            free.append(actor)
            try:
                for i, verdict in zip(chunk, ray.get(done)):
                    verdicts[i] = verdict
            except RayError as error:
                for i in chunk:
                    verdicts[i] = Verdict(
                        Status.INFRASTRUCTURE, detail=f"the verify actor died: {type(error).__name__}"
                    )

    def close(self) -> None:
        """Ends the actors."""
        import ray

        for actor in self.actors:
            ray.kill(actor)
