"""Several sandboxes of one process, driven by threads."""

import threading

from problems.config import ProblemsConfig
from problems.families import get
from problems.problem import Status
from problems.stream import ProblemStream
from rollout.prompts import completion_text
from verify.config import VerifyConfig
from verify.local_judges import LocalJudges


def answers(count):
    """Right and wrong programs in turn, and whether each is right."""
    stream = ProblemStream(ProblemsConfig(families=("lcs", "coin_change"), difficulties=(2,)), "train")
    problems = [stream.problem(index) for index in range(count)]
    codes = [get(p.family).solutions(p).correct[0] if n % 3 else "def f(): pass" for n, p in enumerate(problems)]
    return [(p, completion_text(c), "stop") for p, c in zip(problems, codes, strict=True)], [
        n % 3 > 0 for n in range(count)
    ]


def test_the_verdicts_of_several_sandboxes_are_in_order():
    items, right = answers(40)
    with LocalJudges(VerifyConfig(batch_size=4), workers=2) as judges:
        assert [verdict.passed for verdict in judges.judge_batch(items)] == right
        assert judges.judge_batch([]) == [] and judges.judge_batch(items[:1])[0].status is not Status.PASSED


def test_a_thread_has_its_judge_alone_and_there_are_no_more_than_said():
    items, right = answers(3)
    held, seen, most = set(), set(), []

    def work():
        for _ in range(3):
            with judges.judge() as judge:
                assert id(judge) not in held
                held.add(id(judge))
                seen.add(id(judge))
                most.append(len(held))
                assert [verdict.passed for verdict in judge.judge_batch(items)] == right
                held.discard(id(judge))

    with LocalJudges(workers=2) as judges:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 2 and len(most) == 12 and max(most) <= 2
