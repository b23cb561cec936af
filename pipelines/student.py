"""The default student: a tiny chat model, pretrained here from nothing on problems of the train split.

Its pretraining text is prompts answered by correct programs and, more often, by plausible wrong ones, so that it
writes well-formed answers of every kind it will meet and is right less than half of the time: it has some skill, and
everything to gain from rewards. A student is a folder as transformers and vLLM load it, cached under the hash of its
recipe.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.private import NotPrivate, cache_root, locked
from pipelines.student_rows import Pair, list_rows, program_row, recall_rows, reworded_rows
from problems import families
from problems.config import ProblemsConfig
from problems.problem import Split
from problems.splits import split_of
from problems.stream import ProblemStream
from rollout.model_files import load_tokenizer
from rollout.prompts import PROMPT_FILE, PromptBuilder, PromptConfig
from train.pretrain import ArchitectureConfig, PretrainConfig, Step, build_model, prepare_cpu, pretrain

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RECIPE_FILE = "recipe.json"
HASHES_FILE = "train_hashes.txt"
CURVE_FILE = "training_curve.jsonl"

END, PAD = "<|endoftext|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
QUOTED_SIGNS = re.compile(r"'[^'A-Za-z]*'")
MAKING = 2
"""Of how tokenizer and weights are made: a student that was made otherwise is made anew."""
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message.role + '|>' }}"
    "{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + '<|endoftext|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|endoftext|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
STUDENT_FAMILIES = (
    "fibonacci",
    "reverse_string",
    "is_palindrome",
    "max_subarray",
    "binary_search",
    "remove_duplicates",
)
"""The families with the shortest programs: a million parameters learn these in minutes, all twelve only badly."""
STUDENT_TEMPLATE = "{{ problem.statement }}\n{{ problem.signature }}"
"""The student knows but one kind of answer, so that its prompts need not ask for it."""


class StudentRecipe(BaseModel):
    """Everything that decides what the student is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problems: ProblemsConfig = ProblemsConfig(families=STUDENT_FAMILIES)
    """What it is pretrained on; always the train split."""
    count: int = Field(default=12000, ge=1)
    """Problems in its pretraining text."""
    right: float = Field(default=0.5, gt=0, le=1)
    """Share of problems answered by a correct program; the others get a plausible wrong one."""
    other: float = Field(default=0.1, ge=0, le=1)
    """Share of the correct programs that are not the family's shortest."""
    lists: float = Field(default=0.3, ge=0)
    """Rows of the primer, as a share of `count`, that ask for a list of values. A tiny model learns to take over what
    it is given far sooner from them than from programs, where few tokens depend on it."""
    recall: float = Field(default=0.2, ge=0)
    """Rows of the primer, as a share of `count`, that ask for a statement's values alone."""
    reworded: float = Field(default=0.2, ge=0)
    """Rows of the primer, as a share of `count`, whose quoted values are other words, in statement and program alike.
    Programs that answer in words hold few different ones, which a tiny model learns by heart rather than to take them
    over."""
    value_weight: float = Field(default=3.0, gt=0)
    """Weight in the loss of tokens that write a value of the statement."""
    prompt: PromptConfig = PromptConfig(examples=0, template=STUDENT_TEMPLATE)
    """Its prompt."""
    vocabulary: int = Field(default=1536, ge=300)
    """Tokens of its byte-level BPE, trained on the same text."""
    architecture: ArchitectureConfig = ArchitectureConfig()
    """Its size."""
    pretrain: PretrainConfig = PretrainConfig()
    """Its training."""

    @property
    def hash(self) -> str:
        """16 hex digits that change with the recipe, a family's version, and any wording or program that it uses."""
        probe = [Pair.draw(self, problem) for problem in ProblemStream(self.problems, "train").range(0, 200)]
        builder = PromptBuilder(cast(Any, _NoTokenizer()), self.prompt)
        texts = [(builder.message(pair.problem), pair.completion) for pair in probe]
        versions = {name: families.get(name).version for name in self.problems.full_names}
        parts = [self.model_dump(mode="json"), versions, texts, CHAT_TEMPLATE, MAKING]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def build_student(
    recipe: StudentRecipe | None = None,
    cache_dir: Path | None = None,
    *,
    quiet: bool = False,
    threads: int | None = None,
) -> Path:
    """The folder of the student of this recipe, built if the cache has none. Safe to call from several processes."""
    recipe = recipe or StudentRecipe()
    folder = (cache_dir or students_folder()) / recipe.hash
    if (folder / RECIPE_FILE).is_file():
        return folder
    # A cache that others may read is one that somebody has opened to them.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if (folder / RECIPE_FILE).is_file():  # another process has just built it
            return folder
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _build(recipe, aside, quiet, threads)
            aside.chmod(folder.parent.stat().st_mode & 0o755)
            os.replace(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


def students_folder() -> Path:
    """Where students are cached: under CRUCIBLE_CACHE where that is set, else in the user's cache folder."""
    return cache_root() / "students"


def train_tokenizer(texts: Iterator[str], vocabulary: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE of that many tokens with the student's chat template.

    It splits text as Qwen2's own tokenizer does, because `AutoTokenizer` (and with it vLLM) gives any folder of a Qwen2
    model that splitting, whatever its tokenizer.json says. What stands in quotes is spelt in the same tokens wherever
    it stands, or it could not be copied: a quote is never joined to anything, nor are signs within quotes.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    like = Qwen2Tokenizer().backend_tokenizer
    inner = Tokenizer(models.BPE())
    inner.normalizer, inner.decoder = like.normalizer, like.decoder
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split("'", "isolated"), like.pre_tokenizer])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator((QUOTED_SIGNS.sub("''", text) for text in texts), trainer)
    model = json.loads(inner.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=cast(Any, [tuple(merge) for merge in model["merges"]]),  # pairs, which the stubs do not know
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in (END, PAD)],
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def check_reload(folder: Path, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
    """Raises RuntimeError where the saved tokenizer, loaded as everybody does, reads text otherwise than before."""
    loaded = load_tokenizer(folder)
    for text in texts:
        if loaded(text)["input_ids"] != tokenizer(text)["input_ids"] or len(loaded) != len(tokenizer):
            raise RuntimeError(
                f"transformers loads the student's tokenizer as {type(loaded).__name__}, which splits {text!r} "
                f"otherwise than the tokenizer it was trained with; this version of transformers does not fit"
            )


def _build(recipe: StudentRecipe, folder: Path, quiet: bool, threads: int | None) -> None:
    with _progress(quiet) as progress:
        task = progress.add_task("problems", total=recipe.count, note="")
        pairs = []
        for problem in ProblemStream(recipe.problems, "train").range(0, recipe.count):
            pairs.append(Pair.draw(recipe, problem))
            progress.advance(task)
        plain = PromptBuilder(cast(Any, _NoTokenizer()), recipe.prompt)
        texts = (text for pair in pairs for text in (plain.message(pair.problem), pair.completion))
        tokenizer = train_tokenizer(texts, recipe.vocabulary)
        builder = PromptBuilder(tokenizer, recipe.prompt)
        rows = [program_row(builder, pair, recipe.value_weight) for pair in pairs]
        primer = list_rows(builder, recipe) + recall_rows(builder, pairs, recipe)
        primer += reworded_rows(builder, pairs, recipe)
        model = build_model(
            recipe.architecture,
            vocabulary=len(tokenizer),
            eos_id=cast(int, tokenizer.eos_token_id),
            pad_id=cast(int, tokenizer.pad_token_id),
            seed=recipe.pretrain.seed,
        )
        task = progress.add_task("training", total=recipe.pretrain.steps, note="")

        def show(step: Step) -> None:
            progress.update(task, completed=step.number, note=f"loss {step.loss:.3f}")

        prepare_cpu(threads)
        curve = pretrain(model, rows, recipe.pretrain, show, primer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    check_reload(folder, tokenizer, [pair.completion for pair in pairs[:50]])
    _write_records(recipe, pairs, curve, folder)


def _write_records(recipe: StudentRecipe, pairs: list[Pair], curve: list[Step], folder: Path) -> None:
    (folder / PROMPT_FILE).write_text(recipe.prompt.model_dump_json(indent=1))
    hashes = {f"{pair.problem.question_hash} {pair.problem.content_hash}" for pair in pairs}
    (folder / HASHES_FILE).write_text("\n".join(sorted(hashes)) + "\n")
    rows = [{"step": s.number, "loss": s.loss, "tokens": s.tokens, "lr_scale": s.lr_scale} for s in curve]
    (folder / CURVE_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / RECIPE_FILE).write_text(recipe.model_dump_json(indent=1))


@dataclass(frozen=True, slots=True)
class Disjointness:
    """What a search for held-out questions in a student's pretraining text found."""

    trained: int
    """Different questions in the text."""
    checked: dict[Split, int]
    """Held-out problems looked up, by split."""
    shared: tuple[str, ...]
    """Ids of those whose question or content is in the text."""
    strayed: int
    """Questions of the text that belong to another split than train."""

    @property
    def proven(self) -> bool:
        return not self.shared and not self.strayed

    def __str__(self) -> str:
        looked_up = " and ".join(f"{count:,} {split}" for split, count in self.checked.items())
        found = f"{len(self.shared)} of {looked_up} problems are in it, {self.strayed} of its own are not of train"
        return f"{self.trained:,} questions in the pretraining text: {found}"


def prove_disjoint(folder: Path, count: int = 20_000) -> Disjointness:
    """Looks up, by question and content hash, the first `count` val and test problems in the student's training text.

    Raises FileNotFoundError where the folder is not a student that was built here.
    """
    if not (folder / HASHES_FILE).is_file():
        raise FileNotFoundError(f"{folder} is not a student built by `crucible student`: it has no {HASHES_FILE}")
    recipe = StudentRecipe.model_validate_json((folder / RECIPE_FILE).read_text())
    pairs = [line.split() for line in (folder / HASHES_FILE).read_text().splitlines()]
    questions, contents = {question for question, _ in pairs}, {content for _, content in pairs}
    held_out: tuple[Split, ...] = ("val", "test")
    shared = [
        problem.id
        for split in held_out
        for problem in ProblemStream(recipe.problems, split).range(0, count)
        if problem.question_hash in questions or problem.content_hash in contents
    ]
    strayed = sum(split_of(question) != "train" for question in questions)
    return Disjointness(len(questions), dict.fromkeys(held_out, count), tuple(shared), strayed)


class _NoTokenizer:
    """Enough of a tokenizer to write messages before there is one."""

    chat_template = None


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:>9}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        yield progress


class StudentCommand(BaseModel):
    """Makes the default student, a tiny Qwen2 pretrained on this machine, or proves what it has not seen."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    recipe: StudentRecipe = StudentRecipe()
    """Everything that decides what the student is; another recipe is another student."""
    cache: Path | None = None
    """Folder of students; None: CRUCIBLE_CACHE, else ~/.cache/crucible."""
    prove_disjoint: int = Field(default=0, ge=0)
    """Look up this many val and as many test problems in the student's pretraining text, by hash."""


def main(argv: Sequence[str]) -> int:
    """`crucible student`."""
    from pipelines.errors import ConfigError, fail
    from pipelines.options import parse

    try:
        command = parse(StudentCommand, argv, prog="crucible student")
    except ConfigError as error:
        return fail(str(error))
    try:
        folder = build_student(command.recipe, command.cache)
    except NotPrivate as error:
        return fail(str(error))
    print(folder)
    if not command.prove_disjoint:
        return 0
    found = prove_disjoint(folder, command.prove_disjoint)
    print(found)
    return 0 if found.proven else 1
