"""A full grid: every cell has exactly as many problems, no question comes twice, and the same seed gives the same."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems.config import ProblemsConfig
from problems.families import names
from problems.grid import grid, wording
from problems.questions import Questions, QuestionsConfig
from problems.stream import ProblemStream


@settings(max_examples=25, deadline=None)
@given(
    families=st.lists(st.sampled_from(names()), min_size=1, max_size=3, unique=True),
    difficulties=st.lists(st.integers(1, 10), min_size=1, max_size=4),
    count=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_every_cell_has_exactly_as_many_problems(families, difficulties, count, seed):
    config = ProblemsConfig(families=tuple(families), difficulties=tuple(difficulties), seed=seed)
    found = grid(config, "test", count)
    cells = Counter((p.family, p.difficulty) for p in found)
    assert cells == {(family, d): count for family in families for d in difficulties}
    assert len({p.question_hash for p in found}) == len({p.id for p in found}) == len(found)
    assert {p.split for p in found} == {"test"}
    assert [p.content_hash for p in found] == [p.content_hash for p in grid(config, "test", count)]
    taken = {p.question_hash for p in found}
    assert not taken & {p.question_hash for p in grid(config, "test", count, taken)}


def test_the_eleven_families_at_five_difficulties():
    families = (
        "rpn", "arithmetic", "parentheses", "fizzbuzz", "reverse_string", "is_palindrome", "fibonacci", "binary_search",
        "two_sum", "max_subarray", "remove_duplicates",
    )  # fmt: skip
    config = QuestionsConfig(families=families, difficulties=(1, 3, 5, 7, 10))
    found = Questions(config).grid("test", 5, 999)
    assert len(found) == 11 * 5 * 5 and set(Counter((p.family, p.difficulty) for p in found).values()) == {5}


def test_a_family_without_weight_has_no_cells():
    config = ProblemsConfig(families=("lis", "lcs"), difficulties=(1, 1, 2), weights={"lis": 0, "lcs": 7})
    assert Counter((p.family, p.difficulty) for p in grid(config, "val", 2)) == {("lcs", 1): 2, ("lcs", 2): 2}


def test_a_cell_of_few_questions_is_named(monkeypatch):
    class Few(ProblemStream):
        def problem(self, index):
            return super().problem(index % 7)

    monkeypatch.setattr("problems.grid.ProblemStream", Few)
    config = ProblemsConfig(families=("coin_change",), difficulties=(1,))
    assert len(grid(config, "test", 7, identity=wording)) == 7
    with pytest.raises(ValueError, match=r"family coin_change has only 7 more test problems of difficulty 1 .* 8 are"):
        grid(config, "test", 8, identity=wording)


def test_data_sets_have_no_cells():
    asked = Questions(QuestionsConfig(parts=({"procedural": {"families": ("lis",)}},)))
    with pytest.raises(ValueError, match="no cells of family and difficulty"):
        asked.grid("test", 1, 0)
