"""Results of several threads come in the order of the rows, whatever fails and whoever stops listening."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems.in_order import AHEAD, ALONE, in_order


@given(st.lists(st.integers(), max_size=80), st.integers(1, 4))
def test_it_is_a_map(items, workers):
    assert list(in_order(lambda item: item * 2, items, workers)) == [item * 2 for item in items]


def test_several_threads_work_and_the_slow_do_not_change_the_order():
    threads = set()

    def slow(item):
        threads.add(threading.get_ident())
        time.sleep(0.02 if item % 7 == 0 else 0.001)
        return item

    assert list(in_order(slow, range(100), 4)) == list(range(100))
    assert len(threads) > 2


def test_what_reading_raises_comes_after_the_rows_before_it():
    def rows():
        yield from range(50)
        raise ValueError("broken here")

    got = []
    with pytest.raises(ValueError, match="broken here"):
        for item in in_order(str, rows(), 3):
            got.append(item)
    assert got == [str(n) for n in range(50)]


def test_an_endless_source_is_read_only_as_far_ahead_as_said():
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield read[-1]

    results = in_order(lambda item: item, endless(), 2)
    assert [next(results) for _ in range(ALONE + 10)] == list(range(ALONE + 10))
    results.close()
    assert len(read) <= ALONE + 10 + AHEAD * 2 + 1
