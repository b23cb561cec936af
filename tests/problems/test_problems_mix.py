"""Mixes keep their weights and lose nothing; curricula move as they say and can be resumed."""

import pytest
from pydantic import ValidationError

from problems.config import ProblemsConfig
from problems.curriculum import Curriculum, CurriculumConfig
from problems.mix import PERIOD, Finite, Mix
from problems.stream import ProblemStream


def stream(family: str) -> ProblemStream:
    return ProblemStream(ProblemsConfig(families=(family,)), "train")


def test_a_mix_keeps_its_weights_and_skips_no_index_of_a_part():
    mix = Mix([(stream("lcs"), 3), (stream("bits"), 1), (stream("rpn"), 0)], seed=5)
    places = [mix.place(i) for i in range(3 * PERIOD)]
    for part, share in ((0, 0.75), (1, 0.25)):
        own = [index for p, index in places if p == part]
        assert own == list(range(len(own))) and len(own) == 3 * PERIOD * share
    assert mix.problem(17) == Mix([(stream("lcs"), 3), (stream("bits"), 1)], seed=5).problem(17)
    assert {p for p, _ in places[:40]} == {0, 1}


def test_a_small_weight_is_not_rounded_away():
    mix = Mix([(stream("lcs"), 1.0), (stream("bits"), 1e-6)], seed=0)
    assert sum(mix.place(i)[0] == 1 for i in range(PERIOD)) == 1


def test_a_finite_part_gives_each_problem_once_an_epoch():
    problems = list(stream("bits").range(0, 7))
    finite = Finite(problems, seed=1)
    epochs = [[finite.problem(7 * e + i) for i in range(7)] for e in range(4)]
    for epoch in epochs:
        assert {p.id for p in epoch} == {p.id for p in problems}
    assert len({tuple(p.id for p in epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [([], "no part of the mix"), ([(None, 0)], "no part of the mix"), ([(None, -1)], "weights of a mix")],
)
def test_impossible_mixes_are_named(parts, message):
    with pytest.raises(ValueError, match=message):
        Mix(parts, seed=0)
    with pytest.raises(ValueError, match="gave no problems"):
        Finite([], seed=0)


def test_a_curriculum_moves_the_stream():
    problem = stream("lcs").problem(3, difficulties=(9,))
    assert problem.difficulty == 9 and stream("lcs").family(3) == "lcs"


def test_linear_rises_with_steps():
    curriculum = Curriculum(CurriculumConfig(schedule="linear", start=2, end=4, steps_per_level=3))
    levels = []
    for _ in range(12):
        levels.append(curriculum.difficulties()[0])
        curriculum.step()
    assert levels == [2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4]


def test_adaptive_follows_success_over_all_families():
    curriculum = Curriculum(CurriculumConfig(schedule="adaptive", window=4, start=3))
    for _ in range(4):
        curriculum.observe("lcs", 3, 0.9)
    assert curriculum.difficulties("bits") == (4,)
    curriculum.observe("lcs", 3, 0.0)  # a straggler of the level before
    for _ in range(4):
        curriculum.observe("bits", 4, 0.1)
    assert curriculum.difficulties("lcs") == (3,)
    for _ in range(9):
        curriculum.observe("bits", 3, 0.5)
    assert curriculum.difficulties() == (3,)


def test_self_paced_moves_each_family_alone():
    curriculum = Curriculum(CurriculumConfig(schedule="self_paced", window=3, raise_at=0.85, end=5))
    for level in range(1, 8):
        for _ in range(3):
            curriculum.observe("lcs", min(level, 5), 1.0)
    assert curriculum.difficulties("lcs") == (5,) and curriculum.difficulties("bits") == (1,)


def test_staged_leaves_a_stage_at_its_target_or_when_forced():
    curriculum = Curriculum(CurriculumConfig(schedule="staged", most_groups=20))
    for _ in range(4):
        curriculum.observe("lcs", 2, 1.0)
    assert curriculum.difficulties() == (1, 2, 3)  # five groups are the least
    curriculum.observe("lcs", 1, 1.0)
    assert curriculum.difficulties() == (4, 5, 6)
    for _ in range(20):
        curriculum.observe("lcs", 5, 0.0)
    assert curriculum.difficulties() == (7, 8, 9, 10)


def test_a_restored_curriculum_goes_on_as_the_first_would():
    config = CurriculumConfig(schedule="self_paced", window=3)
    one, two = Curriculum(config), Curriculum(config)
    for i in range(20):
        one.observe("lcs", one.difficulties("lcs")[0], (i % 4) / 3)
        one.step()
    two.restore(one.state())
    for i in range(30):
        for c in (one, two):
            c.observe("lcs", c.difficulties("lcs")[0], ((i * 7) % 5) / 4)
            c.step()
        assert one.state() == two.state()


def test_constant_keeps_the_problems_own_difficulties():
    assert Curriculum(CurriculumConfig()).difficulties("lcs", default=(2, 4)) == (2, 4)


def test_impossible_curricula_are_named():
    with pytest.raises(ValidationError, match="swap them"):
        CurriculumConfig(start=5, end=2)
    with pytest.raises(ValidationError, match="must be below raise_at"):
        CurriculumConfig(lower_at=0.8)
