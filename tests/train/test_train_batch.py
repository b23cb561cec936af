import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train_helpers import make_group, make_groups

from train.batch import Layout, MicroBatch, Row, TrainBatch, micro_batches
from train.config import TrainConfig


def rows_of(lengths: list[tuple[int, int, int]]) -> list[Row]:
    """From (prompt number, prompt length class, completion length)."""
    sizes: dict[int, int] = {}
    return [
        Row(
            prompt=number,
            prompt_ids=np.zeros(sizes.setdefault(number, prompt), np.int32),
            completion_ids=np.zeros(completion, np.int32),
            sampler_logprobs=np.zeros(completion, np.float32),
            advantages=np.zeros(completion, np.float32),
            policy_version=0,
        )
        for number, prompt, completion in lengths
    ]


LENGTHS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40), st.integers(1, 60)), min_size=1, max_size=40)


LAYOUTS = st.sampled_from([Layout(True, True), Layout(True, False), Layout(False, False)])


def computed(part: list[Row], layout: Layout) -> int:
    if not layout.packed:
        return len(part) * max(len(r.prompt_ids) + len(r.completion_ids) for r in part)
    prompts = {r.prompt if layout.shared else id(r): len(r.prompt_ids) for r in part}
    return sum(prompts.values()) + sum(len(r.completion_ids) for r in part)


@settings(deadline=None, max_examples=200)
@given(LENGTHS, st.integers(20, 500), LAYOUTS)
def test_micro_batches_cover_all_rows_within_the_budget(lengths, budget, layout):
    rows = rows_of(lengths)
    parts = micro_batches(rows, budget, 10, layout)
    assert sorted(map(id, rows)) == sorted(id(row) for part in parts for row in part)
    assert all(len(part) == 1 or computed(part, layout) <= budget for part in parts)
    assert all(layout.tokens(part) == computed(part, layout) for part in parts)
    again = micro_batches(rows, budget, 10, layout)
    assert [[id(r) for r in part] for part in parts] == [[id(r) for r in part] for part in again]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 20)), min_size=1, max_size=8), LAYOUTS)
def test_no_way_of_cutting_the_sorted_rows_is_cheaper(lengths, layout):
    rows, budget, overhead = rows_of(lengths), 60, 7
    cost = sum(computed(part, layout) + overhead for part in micro_batches(rows, budget, overhead, layout))
    order = sorted(rows, key=lambda row: (len(row.completion_ids), row.prompt))
    for cuts in range(2 ** (len(order) - 1)):
        parts, start = [], 0
        for index in range(1, len(order) + 1):
            if index == len(order) or cuts >> (index - 1) & 1:
                parts.append(order[start:index])
                start = index
        if all(len(part) == 1 or computed(part, layout) <= budget for part in parts):
            assert cost <= sum(computed(part, layout) + overhead for part in parts)


@settings(deadline=None, max_examples=100)
@given(LENGTHS, st.integers(1, 5))
def test_shards_are_a_partition(lengths, world_size):
    batch = TrainBatch(tuple(rows_of(lengths)), 1, 1, 0)
    shards = [batch.shard(rank, world_size) for rank in range(world_size)]
    assert sorted(map(id, batch.rows)) == sorted(id(row) for shard in shards for row in shard)


def test_shards_share_the_work_and_keep_groups_whole():
    batch = TrainBatch.from_groups(make_groups(count=16, size=8), TrainConfig())
    shards = [batch.shard(rank, 2) for rank in range(2)]
    loads = [sum(len(row.completion_ids) for row in shard) for shard in shards]
    assert abs(loads[0] - loads[1]) < 0.1 * sum(loads)
    assert not {row.prompt for row in shards[0]} & {row.prompt for row in shards[1]}
    with pytest.raises(ValueError, match="rank 2"):
        batch.shard(2, 2)


def test_rows_carry_their_groups_advantage_and_only_informative_groups_count():
    rng = np.random.default_rng(0)
    groups = [
        make_group(rng, [1.0, 0.0, 0.0], index=0),
        make_group(rng, [1.0, 1.0, 1.0], index=1),
        make_group(rng, [1.0, None, 0.0], index=2),
    ]
    batch = TrainBatch.from_groups(groups, TrainConfig(advantage="mean_only"))
    assert (batch.groups, batch.kept, batch.excluded, len(batch.rows)) == (3, 2, 1, 5)
    assert [round(float(row.advantages[0]), 4) for row in batch.rows] == [0.6667, -0.3333, -0.3333, 0.5, -0.5]
    assert batch.tokens == sum(len(row.completion_ids) for row in batch.rows)
    everything = TrainBatch.from_groups(groups, TrainConfig(group_filter="off"))
    assert everything.kept == 3 and not everything.rows[3].advantages.any()


def test_equal_prompts_are_one_prompt_even_across_groups():
    group = make_group(np.random.default_rng(0), [1.0, 0.0])
    twin = dataclasses.replace(group, index=1)
    batch = TrainBatch.from_groups([group, twin], TrainConfig())
    assert {row.prompt for row in batch.rows} == {0}
    assert MicroBatch.of(batch.rows).prompt_ids.shape[0] == 1


def test_samples_that_cannot_be_trained_on_are_refused_or_counted():
    group = make_group(np.random.default_rng(0), [1.0, 0.0, 0.0])
    first, second, third = group.samples
    empty = dataclasses.replace(second, completion_ids=second.completion_ids[:0], logprobs=second.logprobs[:0])
    batch = TrainBatch.from_groups([dataclasses.replace(group, samples=(first, empty, third))], TrainConfig())
    assert len(batch.rows) == 2 and batch.excluded == 1
    short = dataclasses.replace(second, logprobs=second.logprobs[:-1])
    with pytest.raises(ValueError, match=r"sample 1 of problem p .* log-probabilities"):
        TrainBatch.from_groups([dataclasses.replace(group, samples=(first, short, third))], TrainConfig())
    bare = dataclasses.replace(first, prompt_ids=first.prompt_ids[:0])
    with pytest.raises(ValueError, match="empty prompt"):
        TrainBatch.from_groups([dataclasses.replace(group, samples=(bare, second, third))], TrainConfig())


def test_tensors_are_padded_behind():
    rows = TrainBatch.from_groups(make_groups(2, 3), TrainConfig()).rows
    part = MicroBatch.of(rows)
    for index, row in enumerate(rows):
        length = len(row.completion_ids)
        assert part.completion_ids[index, :length].tolist() == row.completion_ids.tolist()
        assert part.mask[index].sum() == length and part.mask[index, :length].all()
        prompt = int(part.prompt_of_row[index])
        assert part.prompt_ids[prompt, : part.prompt_lengths[prompt]].tolist() == row.prompt_ids.tolist()
