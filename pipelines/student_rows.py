"""The text that a student is pretrained on: rows of a prompt and an answer, of four kinds.

Programs, right or plausibly wrong; and as a primer, which teaches to take values over: lists of values, the values of a
statement alone, and programs whose quoted values are other words.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from problems import families
from problems.problem import Problem
from rollout.prompts import PromptBuilder, completion_text
from train.pretrain import Row

if TYPE_CHECKING:
    from pipelines.student import StudentRecipe

RECALLED = "\nvalues"
RECALL_TEMPLATE = f"{{{{ problem.statement }}}}{RECALLED}"
LISTED = (4, 9)
"""Fewest and most values of a list."""
SIGNS = "!,.-_;:/*@#^+=|~?"
TWO_SIGNS = 0.15
"""Share of quoted signs that are two."""
VALUES = re.compile(r"-?\d+|'[^']*'")
QUOTED = re.compile(r"(?<![A-Za-z])'([^' ]+)'")
"""A value in quotes; an apostrophe opens none."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A problem and the program that the pretraining text answers it with."""

    problem: Problem
    completion: str

    @classmethod
    def draw(cls, recipe: StudentRecipe, problem: Problem) -> Pair:
        """The same pair for the same recipe and problem."""
        rng = random.Random(f"{recipe.pretrain.seed} {problem.id}")
        solutions = families.get(problem.family).solutions(problem)
        if rng.random() < recipe.right or not solutions.mutants:
            others = solutions.correct[1:]
            code = rng.choice(others) if others and rng.random() < recipe.other else solutions.correct[0]
        else:
            code = rng.choice(solutions.mutants).code
        return cls(problem, completion_text(code, kind=problem.kind))


def program_row(builder: PromptBuilder, pair: Pair, value_weight: float) -> Row:
    """A program row. Tokens of numbers and quoted characters weigh more: they are few, and right only if looked up."""
    ids = builder.encode_completion(pair.completion)
    tokens = builder.tokenizer.convert_ids_to_tokens(ids)
    weights = [value_weight if re.search(r"\d|'", token) else 1.0 for token in tokens]
    return Row(builder.build(pair.problem).ids, ids, weights)


def list_rows(builder: PromptBuilder, recipe: StudentRecipe) -> list[Row]:
    """Rows that answer a list of numbers, quoted signs, letters and words with the list."""
    rng = random.Random(f"{recipe.pretrain.seed} lists")
    words = _words(builder)
    rows = []
    for _ in range(round(recipe.lists * recipe.count)):
        text = " ".join(_value(rng, words) for _ in range(rng.randint(*LISTED)))
        asked = builder.conversation([("user", f"{text}{RECALLED}")])
        rows.append(Row(asked.ids, builder.encode_completion(text)))
    return rows


def _value(rng: random.Random, words: Sequence[str]) -> str:
    """A number, a sign or two, a letter or a word."""
    kind = rng.choices(("number", "signs", "letter", "word"), (7, 6, 3, 4))[0]
    if kind == "number":
        return str(rng.randint(-99, 199))
    if kind == "signs":
        return f"'{''.join(rng.choices(SIGNS, k=1 + (rng.random() < TWO_SIGNS)))}'"
    return f"'{rng.choice(string.ascii_lowercase if kind == 'letter' else words)}'"


def _words(builder: PromptBuilder) -> list[str]:
    """The words of the vocabulary."""
    return sorted(word for word in builder.tokenizer.get_vocab() if word.isascii() and word.isalpha())


def recall_rows(builder: PromptBuilder, pairs: Sequence[Pair], recipe: StudentRecipe) -> list[Row]:
    """Rows that answer a statement with the numbers and quoted characters in it, in order."""
    asker = PromptBuilder(builder.tokenizer, recipe.prompt.model_copy(update={"template": RECALL_TEMPLATE}))
    rows = []
    for pair in pairs[: round(recipe.recall * len(pairs))]:
        values = VALUES.findall(pair.problem.statement)
        if values:
            rows.append(Row(asker.build(pair.problem).ids, builder.encode_completion(" ".join(values))))
    return rows


def reworded_rows(builder: PromptBuilder, pairs: Sequence[Pair], recipe: StudentRecipe) -> list[Row]:
    """Program rows of statements with quoted values, each of these replaced by a word of the vocabulary.

    Words weigh `value_weight`, whole: of a program they are what has to be looked up.
    """
    rng = random.Random(f"{recipe.pretrain.seed} reworded")
    words = _words(builder)
    quoting = [pair for pair in pairs if _quoted(pair)]
    rows = []
    for number in range(round(recipe.reworded * len(pairs)) if quoting else 0):
        pair = quoting[number % len(quoting)]
        values = _quoted(pair)
        other = dict(zip(values, rng.sample(words, len(values)), strict=True))
        completion = _reworded(pair.completion, other)
        ids = builder.encode_completion(completion)
        weights = [1.0] * len(ids)
        spans = [found.span(1) for found in QUOTED.finditer(completion) if found[1] in other.values()]
        place = 0
        for index, token in enumerate(builder.tokenizer.convert_ids_to_tokens(ids[:-1])):
            end = place + len(token)  # a character of a byte-level token is a byte, and programs are ASCII
            if any(place < last and first < end for first, last in spans):
                weights[index] = recipe.value_weight
            place = end
        problem = replace(pair.problem, statement=_reworded(pair.problem.statement, other))
        rows.append(Row(builder.build(problem).ids, ids, weights))
    return rows


def _reworded(text: str, other: Mapping[str, str]) -> str:
    """`text` with each quoted value that `other` has a word for replaced by that word."""
    return QUOTED.sub(lambda found: f"'{other.get(found[1], found[1])}'", text)


def _quoted(pair: Pair) -> list[str]:
    """The values that statement and program both quote."""
    quoted = dict.fromkeys(QUOTED.findall(pair.problem.statement))
    used = set(QUOTED.findall(pair.completion))
    return [value for value in quoted if value in used]
