"""The student that is made here: what it learns from, what its hash stands for, and what it must not have seen."""

import re
import shutil

import pytest

from pipelines.student import (
    HASHES_FILE,
    RECIPE_FILE,
    StudentRecipe,
    build_student,
    prove_disjoint,
    train_tokenizer,
)
from pipelines.student_rows import Pair, list_rows, recall_rows, reworded_rows
from problems.config import ProblemsConfig
from problems.stream import ProblemStream
from rollout.prompts import PromptBuilder

RECIPE = StudentRecipe(
    problems=ProblemsConfig(families=("reverse_string", "is_palindrome", "fibonacci"), difficulties=(1, 2, 3)),
    count=120,
    recall=0.5,
    reworded=0.0,
    right=1.0,
)


@pytest.fixture(scope="module")
def pairs():
    return [Pair.draw(RECIPE, problem) for problem in ProblemStream(RECIPE.problems, "train").range(0, RECIPE.count)]


@pytest.fixture(scope="module")
def builder(pairs):
    texts = (text for pair in pairs for text in (pair.problem.statement, pair.completion))
    return PromptBuilder(train_tokenizer(texts, 512), RECIPE.prompt)


def test_equal_recipes_are_one_student_and_others_are_not(tmp_path, tiny_student):
    hashes = {StudentRecipe().hash, RECIPE.hash, RECIPE.model_copy(update={"reworded": 0.5}).hash}
    assert len(hashes) == 3
    recipe = StudentRecipe.model_validate_json((tiny_student / RECIPE_FILE).read_text())
    assert recipe.hash == tiny_student.name
    assert build_student(recipe, tiny_student.parent, quiet=True) == tiny_student, "found, not made again"


def test_no_held_out_question_was_in_its_text(tiny_student, tmp_path):
    found = prove_disjoint(tiny_student, 300)
    assert found.proven and found.checked == {"val": 300, "test": 300} and found.trained > 500
    spoilt = shutil.copytree(tiny_student, tmp_path / "spoilt")
    recipe = StudentRecipe.model_validate_json((spoilt / RECIPE_FILE).read_text())
    leaked = ProblemStream(recipe.problems, "test").problem(7)
    with open(spoilt / HASHES_FILE, "a") as hashes:
        hashes.write(f"{leaked.question_hash} {leaked.content_hash}\n")
    found = prove_disjoint(spoilt, 300)
    assert not found.proven and leaked.id in found.shared and found.strayed == 1
    with pytest.raises(FileNotFoundError, match="not a student"):
        prove_disjoint(tmp_path)


@pytest.mark.parametrize("value", ["!", ",", ";_", "..", "x", "yes", "-/", "?!"])
def test_what_is_quoted_is_spelt_the_same_wherever_it_stands(builder, value):
    places = [
        f"Split `s` at each '{value}', then",
        f"with '{value}'.",
        f"s.split('{value}')",
        f"'{value}'.join(['{value}'])",
    ]
    spelt = set()
    for place in places:
        tokens = builder.tokenizer.tokenize(place)
        text = [token.replace("Ġ", " ") for token in tokens]
        first = next(n for n, token in enumerate(text) if token.strip() == "'")
        last = next(n for n in range(first + 1, len(text)) if text[n] == "'")
        spelt.add(tuple(text[first + 1 : last]))
    assert len(spelt) == 1 and "".join(spelt.pop()) == value


def test_lists_of_values_are_answered_with_the_list(pairs, builder):
    rows = list_rows(builder, RECIPE)
    assert len(rows) == 36
    said = {builder.tokenizer.decode(row.completion_ids[:-1]) for row in rows}
    asked = [builder.tokenizer.decode(row.prompt_ids) for row in rows]
    assert len(said) == 36 and all(any(f"{text}\nvalues" in prompt for prompt in asked) for text in said)
    values = re.findall(r"-?\d+|'[^' ]+'", " ".join(said))
    assert 4 * 36 <= len(values) <= 9 * 36 and {"'"} < set("".join(values))


def test_recalled_are_the_values_that_a_statement_spells_out(pairs, builder):
    rows = recall_rows(builder, pairs, RECIPE)
    assert 0 < len(rows) <= 60
    for row in rows:
        asked, said = (builder.tokenizer.decode(ids) for ids in (row.prompt_ids, row.completion_ids))
        assert all(value in asked for value in re.findall(r"-?\d+|'[^']*'", said))


def test_reworded_programs_say_what_their_statements_say(pairs, builder):
    rows = reworded_rows(builder, pairs, RECIPE.model_copy(update={"reworded": 1.0}))
    assert len(rows) == len(pairs) and not reworded_rows(builder, pairs, RECIPE)
    words = set()
    for row in rows:
        asked = builder.tokenizer.decode(row.prompt_ids)
        tokens = [builder.tokenizer.decode([token]) for token in row.completion_ids]
        heavy = [token for token, weight in zip(tokens, row.weights, strict=True) if weight > 1]
        said = set(re.findall(r"'([A-Za-z]+)'", "".join(tokens)))
        assert heavy and said and all(f"'{word}'" in asked for word in said), asked
        assert all(any(token.strip("' ") in word for word in said) for token in heavy)
        words |= said
    assert len(words) > 100, "hardly two rows hold the same words"
