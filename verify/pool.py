"""The verify pool.

`Judge` judges batches in this process, with a zygote of its own. `VerifyActor` is the same as a Ray actor,
`VerifyPool` a set of them that sends a batch elsewhere when an actor dies under it, `JudgeRows` the same as a
Ray Data stage. Only the functions that need Ray import it.
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
    """The processes of a judge, and how far they have come: for tests and attacks that look at them from
    outside."""

    pids: set[int]
    """Its trusted processes: itself, the zygotes and their stubs."""
    uid: int
    """User of the zygote's children."""
    own_user: bool
    """True where that user is the sandbox's own."""
    zygotes: int
    """Zygotes started so far: one that had to be replaced was brought down."""
    bytes_taken: int
    """Bytes read from children so far."""


class Judge:
    """Judges completions with one sandbox, and remembers verdicts. One thread drives it.

    Raises IsolationTooLow where the machine cannot enforce `min_isolation`, ZygoteDied where no zygote
    starts.
    """

    def __init__(self, config: VerifyConfig | None = None, plan: Plan | None = None):
        self.config = config or VerifyConfig()
        self.sandbox = Sandbox(self.config, plan)
        self.counts = {"judged": 0, "cached": 0, "infrastructure": 0, "not_compared": 0}
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()
        self._proven = -1
        try:
            self.probe = self._prove()
        except BaseException:
            self.sandbox.close()
            raise

    def judge(self, problem: Problem, completion: str, finish_reason: str = "stop", prompt: str = "") -> Verdict:
        """Judges one completion; `prompt` is the text that it continues, which may have opened its thinking."""
        return self.judge_batch([(problem, continued(prompt, completion), finish_reason)])[0]

    def judge_batch(self, items: Sequence[Item]) -> list[Verdict]:
        """Judges completions, equal programs for equal problems once. Verdicts come in the order of
        `items`."""
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
        """Judges a bare program, past extraction and cache."""
        try:
            return self._judge([Reading(prepare(problem, self.config), code)])[0]
        except BadProblem as error:
            return Verdict(Status.INFRASTRUCTURE, detail=str(error))

    def whereabouts(self) -> ProcessInfo:
        """Which processes the judge is made of."""
        zygote = self.sandbox.zygote()
        pids = {os.getpid()} | {pid for z in self.sandbox.zygotes for pid in z.pids}
        uid, started = zygote.report["uid"], self.sandbox.started
        return ProcessInfo(pids, uid, uid != os.getuid(), started, self.sandbox.bytes_taken)

    def _judge(self, readings: list[Reading]) -> list[Verdict]:
        if not any(reading.verdict is None for reading in readings):
            return [reading.verdict for reading in readings]
        for left in reversed(range(self.config.retries + 1)):
            try:
                if self.sandbox.started != self._proven:
                    self._prove()
                break
            except (ZygoteDied, IsolationTooLow) as error:
                if not left:
                    return [Verdict(Status.INFRASTRUCTURE, detail=str(error)) for _ in readings]
        return judge_readings(readings, self.sandbox)

    def _prove(self) -> Probe:
        """Probes a zygote that was started since the last batch, and has it judge two programs whose verdicts
        are known."""
        self.sandbox.zygote()
        started = self.sandbox.started
        found = require(self.sandbox)
        right, wrong = (judge(_KNOWN, text, "stop", self.sandbox).status for text in (_RIGHT, _WRONG))
        if (right, wrong) != (Status.PASSED, Status.WRONG_ANSWER):
            raise ZygoteDied(f"the sandbox misjudges known programs ({right}, {wrong}); run `crucible verify probe`")
        self._proven = started
        return found

    def close(self) -> None:
        """Ends the zygotes. The judge may not be used afterwards."""
        self.sandbox.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(reading: Reading) -> str:
    """Identity of what is judged: the program and all of the problem that a verdict depends on."""
    identity = reading.prepared.identity if reading.prepared else ""
    early = repr(reading.verdict) if reading.verdict else ""
    return hashlib.sha256("\0".join((identity, early, reading.text)).encode("utf-8", "surrogatepass")).hexdigest()


class JudgeRows:
    """A Ray Data stage: `dataset.map_batches(JudgeRows, fn_constructor_args=(config,), concurrency=n)`.

    Batches are columns `problem` (rows of `Problem.to_row`), `text`, `finish_reason`, and `prompt` where the text that
    was completed is known (its chat template may have opened the thinking); a column `verdict` (rows of
    `Verdict.to_row`) is added. A row that cannot be judged becomes an `infrastructure` verdict: nothing is raised.
    """

    def __init__(self, config: VerifyConfig | None = None):
        drop_keys()
        self.judge = Judge(config)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Judges one batch. Rows of the same problem are best put into the same batch."""
        problems: dict[str, Problem] = {}
        verdicts: list[Verdict | None] = []
        items: list[Item] = []
        prompts = batch.get("prompt", [""] * len(batch["text"]))
        for row, text, finish_reason, prompt in zip(batch["problem"], batch["text"], batch["finish_reason"], prompts):
            try:
                key = repr(sorted(row.items()))
                problem = problems.get(key) or Problem.from_row(row)
            except Exception as error:  # whatever such a row holds, it costs the others nothing
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
    """A Judge to be made a Ray actor: `ray.remote(VerifyActor).remote(config)`, or `start_actor(config)`."""

    def __init__(self, config: VerifyConfig | None = None):
        drop_keys()
        super().__init__(config)

    def ready(self) -> int:
        """The isolation level, once the actor is up."""
        return self.sandbox.level

    def stats(self) -> dict[str, int]:
        """How many completions were judged, found in the cache, failed by the machinery, and made the judge raise."""
        return {**self.counts, "zygotes_started": self.sandbox.started, "isolation": self.sandbox.level}


def start_actor(config: VerifyConfig | None = None, **options: Any) -> Any:
    """A VerifyActor on the running Ray, restarted for ever when it dies; `options` go to Ray. Does not wait
    for it."""
    import ray

    config = config or VerifyConfig()
    settings = {**config.placement, "max_restarts": -1, "max_task_retries": 0, **options}
    return ray.remote(VerifyActor).options(**settings).remote(config)


class VerifyPool:
    """Actors that share the work of one caller. Batches of an actor that dies go to another one."""

    def __init__(self, config: VerifyConfig | None = None, **options: Any):
        self.config = config or VerifyConfig()
        self.actors = [start_actor(self.config, **options) for _ in range(self.config.actors)]

    def judge_batch(self, items: Sequence[Item]) -> list[Verdict]:
        """Judges completions over all actors; what the machinery failed is tried by another actor, `retries`
        times.

        Never raises for an actor that dies: what could not be judged in the end has the status
        `infrastructure`.
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

        # What is tried again goes one by one: if one of them ended the actor, it takes no other along twice.
        size = self.config.batch_size if attempt == 0 else 1
        chunks = [left[i : i + size] for i in range(0, len(left), size)]
        flying: dict[Any, tuple[list[int], int]] = {}
        free = [(i + attempt) % len(self.actors) for i in range(len(self.actors))]
        while chunks or flying:
            while chunks and free:
                chunk, actor = chunks.pop(0), free.pop(0)
                flying[self.actors[actor].judge_batch.remote([items[i] for i in chunk])] = (chunk, actor)
            (done,), _ = ray.wait(list(flying), num_returns=1)
            chunk, actor = flying.pop(done)
            free.append(actor)
            try:
                for i, verdict in zip(chunk, ray.get(done)):
                    verdicts[i] = verdict
            except ray.exceptions.RayError as error:
                for i in chunk:
                    verdicts[i] = Verdict(
                        Status.INFRASTRUCTURE, detail=f"the verify actor died: {type(error).__name__}"
                    )

    def close(self) -> None:
        """Ends the actors."""
        import ray

        for actor in self.actors:
            ray.kill(actor)
