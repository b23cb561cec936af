"""What a session's jobs want answered: nothing is lost with a stream, and nothing counts twice."""

from rollout.admission import Lease
from rollout.board import SILENCE_SECONDS, Board, StreamJob, Work
from rollout.config import Sampling
from rollout.fleet import RolloutJob

JOB = RolloutJob("run", 2, Sampling())


def leases(*numbers, epoch=0):
    return [Lease(epoch, number, 0, 0) for number in numbers]


def opened(numbers=range(5), **more):
    board = Board()
    board.open("a", StreamJob(JOB, None, **more), leases(*numbers), 0.0)
    return board


def test_leases_go_out_in_rows_and_only_as_many_as_may_be_in_the_stream():
    board = opened(lease_size=2, in_flight=3)
    assert board.take() == [Work("a", tuple(leases(0, 1))), Work("a", tuple(leases(2, 3)))]
    assert board.take() == []
    board.done("a", leases(0, 1))
    assert board.take() == [Work("a", tuple(leases(4)))]


def test_what_a_dead_stream_had_taken_goes_first_into_the_next_one():
    board = opened(in_flight=3)
    board.take()
    board.done("a", leases(1))
    board.put_back("the stream is rebuilt")
    assert [work.leases[0].index for work in board.take()] == [0, 2, 3]
    assert board.put("a", [], 1.0).notes == ("the stream is rebuilt",)
    assert board.put("a", [], 1.0).notes == (), "told once"


def test_an_answer_counts_once_and_stays_until_its_owner_has_it():
    board = opened()
    one, two = ((lease, None, "x") for lease in leases(0, 1))
    board.deliver("a", [one])
    board.deliver("a", [one, two])
    assert board.standing("a", 0, 1.0).answers == (one, two)
    assert board.standing("a", 0, 1.0).answers == (one, two), "the first reply may have been lost"
    assert board.standing("a", 1, 1.0).answers == (two,)
    assert board.standing("a", 2, 1.0).answers == ()
    board.deliver("a", [two])
    assert board.standing("a", 2, 1.0).answers == ()


def test_jobs_do_not_wait_for_each_other_and_one_that_fails_leaves_the_rest():
    board = opened(in_flight=1)
    board.open("b", StreamJob(JOB, None, in_flight=2), leases(7, 8, 9), 0.0)
    assert [(work.job, work.leases[0].index) for work in board.take()] == [("a", 0), ("b", 7), ("b", 8)]
    board.fail("no isolation", "a")
    board.done("a", leases(0))
    board.done("b", leases(7))
    assert [work.job for work in board.take()] == ["b"]
    assert board.put("a", [], 1.0).failure == "no isolation" and not board.put("b", [], 1.0).failure
    board.fail("nobody is asked of this one", "c")
    board.close("b")
    assert board.job("b") is None and board.take() == []


def test_a_job_whose_owner_has_died_is_dropped_and_one_whose_board_has_died_hears_of_it():
    board = opened()
    board.open("b", StreamJob(JOB, None), leases(0), 0.0)
    board.put("b", [], SILENCE_SECONDS)
    board.drop_silent(SILENCE_SECONDS + 1.0)
    assert {work.job for work in board.take()} == {"b"}
    assert not board.put("a", leases(9), 0.0).known and not board.standing("a", 0, 0.0).known
