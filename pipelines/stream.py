"""The stream of a job, wired from the rooms: problems, rollout, verify, and back to whoever asked."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import ray.data
from ray.data import ActorPoolStrategy, Dataset

from problems.problem import Group, Problem
from rollout.admission import Lease
from rollout.fleet import RolloutJob
from rollout.stream import configure_data, lease_stream, pack, rollout_stream, unpack
from verify.config import VerifyConfig
from verify.thinking import continued


class JudgeStage:
    """Judges and rewards groups; hands them to a coordinator where there is one, else passes them on."""

    def __init__(self, config: VerifyConfig, coordinator: str = "", shuffle_seed: int | None = None):
        from verify.keys import drop_keys
        from verify.pool import Judge

        drop_keys()
        self._judge = Judge(config)
        self._reward = config.reward
        self._shuffle_seed = shuffle_seed
        self._coordinator = ray.get_actor(coordinator) if coordinator else None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One row of (lease, problem, group or error) in; the judged groups, or only word of them, out."""
        answers = self._answers(unpack(batch))
        if self._coordinator is None:
            return pack(answers)
        # Straight to the coordinator: through the end of the pipeline each group would wait for one more poll of it.
        ray.get(self._coordinator.deliver.remote(answers))
        return pack([lease.index for lease, _, _ in answers])

    def _answers(self, items: Sequence[tuple[Lease, Problem, Any]]) -> list[tuple[Lease, Group | None, str]]:
        samples = [
            (problem, continued(group.prompt, sample.text), sample.finish_reason)
            for _, problem, group in items
            if isinstance(group, Group)
            for sample in group.samples
        ]
        verdicts = iter(self._judge.judge_batch(samples))
        answers: list[tuple[Lease, Group | None, str]] = []
        for lease, _, group in items:
            if not isinstance(group, Group):
                answers.append((lease, None, str(group)))
                continue
            judged = tuple(next(verdicts) for _ in group.samples)
            rewards = tuple(self._reward_of(v, s) for v, s in zip(judged, group.samples, strict=True))
            if self._shuffle_seed is not None:
                rewards = shuffled(rewards, self._shuffle_seed, lease.index)
            answers.append((lease, replace(group, verdicts=judged, rewards=rewards), ""))
        return answers

    def _reward_of(self, verdict: Any, sample: Any) -> float | None:
        from verify.reward import reward

        return reward(verdict, self._reward, completion_tokens=len(sample.completion_ids))


def shuffled(rewards: Sequence[float | None], seed: int, index: int) -> tuple[float | None, ...]:
    """A group's rewards dealt out at random among its samples: same numbers, no meaning."""
    dealt = list(rewards)
    random.Random(f"shuffle {seed} {index}").shuffle(dealt)
    return tuple(dealt)


def judge_stream(rolled_out: Dataset, verify: VerifyConfig, coordinator: str = "", seed: int | None = None) -> Dataset:
    """The last stage: a pool of sandbox actors."""
    return rolled_out.map_batches(
        JudgeStage,
        fn_constructor_args=(verify, coordinator, seed),
        batch_size=1,
        batch_format="numpy",
        compute=ActorPoolStrategy(size=verify.actors, max_tasks_in_flight_per_actor=2),
        zero_copy_batch=True,
        **verify.placement,
    )


def run_stream(
    coordinator: str,
    stream: str,
    problem: Callable[[int], Problem],
    job: RolloutJob,
    engines: Sequence[Any],
    verify: VerifyConfig,
    lease_size: int,
    rows_in_flight: int,
    shuffle_seed: int | None = None,
) -> Dataset:
    """The endless pipeline of a training run; `stream` is its coordinator's token for it."""
    source = lease_stream(coordinator, stream, problem, lease_size)
    rolled_out = rollout_stream(source, job, engines, in_flight=rows_in_flight)
    return judge_stream(rolled_out, verify, coordinator, shuffle_seed)


def answer_all(
    problems: Sequence[Problem], job: RolloutJob, engines: Sequence[Any], verify: VerifyConfig, version: int = 0
) -> Iterator[tuple[Problem, Group | None, str]]:
    """Judged groups of a fixed list of problems, as they come; where a group could not be had, None and why."""
    configure_data()
    leases = [(Lease(0, index, 0, version), problem) for index, problem in enumerate(problems)]
    rows = [{"payload": pack([item])["payload"][0]} for item in leases]
    source = ray.data.from_items(rows, override_num_blocks=len(rows))
    answered = judge_stream(rollout_stream(source, job, engines, in_flight=min(len(rows), 64)), verify)
    for batch in answered.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
        for lease, group, error in unpack(batch):
            yield problems[lease.index], group, error
