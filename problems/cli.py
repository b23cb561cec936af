"""`crucible problems`: list, show and validate the families, compare the splits, try a source, write files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Literal

import tyro
from pydantic import ValidationError
from rich.syntax import Syntax
from rich.table import Table

from problems import families, mapping
from problems.config import ProblemsConfig
from problems.console import out, print_problem, progress
from problems.families import DRAWN, ContractChoice, full_name
from problems.family import MAX_DIFFICULTY, MIN_DIFFICULTY
from problems.plain_text import one_line, plain_text, shown
from problems.problem import Problem, Split
from problems.problem_files import check_target, write
from problems.questions import Questions, QuestionsConfig
from problems.reference_check import failure
from problems.sources import OWN, Prove, Report, SourceConfig, dataset, problems_of, read
from problems.split_audit import DisjointReport, compare_splits, digest, digests_elsewhere
from problems.splits import SPLITS
from problems.stream import ProblemStream
from problems.validate import NEEDED_KILL_RATE, ValidationCounts, validate_many

ALL = tuple(range(MIN_DIFFICULTY, MAX_DIFFICULTY + 1))
Names = tyro.conf.Positional[tuple[str, ...]]


def main(argv: Sequence[str] | None = None, prove: Prove | None = None) -> int:
    """Runs one subcommand and returns the exit status: 0 success, 1 a check failed, 2 a bad request.

    `prove` checks gold answers beyond their form: this package has no sandbox of its own.
    """
    commands = {
        "list": list_families,
        "show": show,
        "validate": validate,
        "disjoint": disjoint,
        "sources": sources,
        "load": partial(load, prove=prove),
        "write": write_problems,
    }
    try:
        return tyro.extras.subcommand_cli_from_dict(
            commands,
            args=list(sys.argv[1:] if argv is None else argv),
            prog="crucible problems",
            description="The problem families and data sources.",
        )
    except ValidationError as error:
        reasons = "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
        print(f"crucible problems: {one_line(reasons)}", file=sys.stderr)
    except (ValueError, RuntimeError) as error:
        print(f"crucible problems: {one_line(error)}", file=sys.stderr)
    return 2


def list_families() -> int:
    """Print every family with its variants, and the plain contracts."""
    table = Table("family", "version", "kind", "checker", "variants (from difficulty)", "about", show_lines=False)
    for name in (*families.names(), *families.contracts()):
        family = families.get(name)
        variants = ", ".join(v.name + (f" ({v.level})" if v.level > 1 else "") for v in family.variants)
        table.add_row(*map(shown, (name, family.version, family.kind, family.checker, variants, family.summary)))
    out.print(table)
    out.print(shown(f"{len(families.names())} families, {len(families.contracts())} plain contracts"))
    return 0


def show(
    family: tyro.conf.Positional[str],
    difficulty: int = 5,
    split: Split = "train",
    seed: int = 0,
    count: int = 1,
    tests: bool = False,
    solutions: bool = False,
) -> int:
    """Print problems of a family.

    Args:
        family: name of the family, or of one of its contracts: fizzbuzz@classic.
        difficulty: 1 (easy) to 10.
        split: train, val or test.
        seed: seed of the stream.
        count: how many problems.
        tests: print the hidden tests too.
        solutions: print the catalogued correct programs and mutants too.
    """
    config = ProblemsConfig(families=(family,), difficulties=(difficulty,), seed=seed)
    for problem in ProblemStream(config, split).range(0, count):
        print_problem(problem, tests)
        if solutions:
            _print_solutions(problem)
    return 0


def _print_solutions(problem: Problem) -> None:
    found = families.get(problem.family).solutions(problem)
    for code in found.correct:
        verdict = failure(problem, code) or "passes"
        out.print(shown("correct", "green"), shown(verdict), sep=": ")
        out.print(Syntax(plain_text(code).rstrip(), "python", background_color="default"))
    for mutant in found.mutants:
        verdict = failure(problem, mutant.code) or "PASSES"
        out.print(shown("mutant", "red"), shown(f"{mutant.name} ({mutant.why}): {verdict}"))
        out.print(Syntax(plain_text(mutant.code).rstrip(), "python", background_color="default"))


def validate(
    names: Names = (),
    all: bool = False,
    contract: ContractChoice = DRAWN,
    difficulties: tuple[int, ...] = ALL,
    seeds: int = 200,
    workers: int = 0,
) -> int:
    """Run every family's correct programs, mutants and exploits on its problems and print the kill rates.

    Args:
        names: families to validate.
        all: validate every family of this contract.
        contract: drawn, or classic for the plain contracts of all versions.
        difficulties: difficulties to validate.
        seeds: problems for each family and difficulty.
        workers: processes; 0 takes one per core.
    """
    if not names and not all:
        raise ValueError("name the families to validate, or give --all")
    chosen = _full_names(() if all else names, contract)
    ProblemsConfig(difficulties=difficulties)
    counts_at = {(n, d): ValidationCounts() for n in chosen for d in difficulties}
    with progress() as bar:
        task = bar.add_task("families × difficulties", total=len(counts_at))
        for name, difficulty, counts in validate_many(chosen, difficulties, seeds, workers):
            counts_at[name, difficulty] = counts
            bar.update(task, advance=1, description=one_line(f"{name} {difficulty}"))
    return _print_validation(chosen, difficulties, counts_at)


def _print_validation(
    chosen: Sequence[str], difficulties: Sequence[int], counts_at: dict[tuple[str, int], ValidationCounts]
) -> int:
    table = Table(title="Share of mutants rejected, %")
    table.add_column("family", no_wrap=True)
    for heading in ("problems", "correct accepted", "constant passes"):
        table.add_column(heading)
    for d in difficulties:
        table.add_column(f"d{d}", justify="right")
    table.add_column("all", justify="right")
    whole, totals = ValidationCounts(), {}
    for name in chosen:
        total = totals[name] = ValidationCounts()
        for d in difficulties:
            total.add(counts_at[name, d])
        whole.add(total)
        rates = [_percent(counts_at[name, d].kill_rate) for d in difficulties]
        sound = all(counts_at[name, d].sound for d in difficulties)
        table.add_row(shown(name), *_counts(total), *rates, _percent(total.kill_rate), style="" if sound else "red")
    overall = [
        sum((counts_at[n, d].rejected for n in chosen), 0) / max(1, sum(counts_at[n, d].mutants for n in chosen))
        for d in difficulties
    ]
    table.add_section()
    table.add_row(f"{len(chosen)} families", *_counts(whole), *map(_percent, overall), _percent(whole.kill_rate))
    out.print(table)
    _print_named(totals)
    for total in totals.values():
        for text in total.refused:
            out.print(shown("correct program fails", "red"), shown(text), sep=": ")
        for text in total.escaped:
            out.print(shown("mutant passes", "yellow"), shown(text), sep=": ")
    unsound = [f"{name} at difficulty {d}" for (name, d), counts in counts_at.items() if not counts.sound]
    if unsound:
        needed = f"{NEEDED_KILL_RATE:.0%}"
        reason = f"(wanted: all correct programs accepted, {needed} of mutants rejected): {', '.join(unsound)}"
        out.print(shown("not valid", "red"), shown(reason))
    return 1 if unsound else 0


def _counts(counts: ValidationCounts) -> tuple[str, str, str]:
    share = counts.accepted / counts.correct if counts.correct else 1.0
    constant = f"{counts.constants_passed} of {counts.constants}"
    return str(counts.problems), f"{_percent(share)} of {counts.correct}", constant


def _percent(share: float) -> str:
    return "100" if share == 1 else f"{100 * share:.2f}"


def _print_named(totals: dict[str, ValidationCounts]) -> None:
    """The mutants that are known to pass in other systems, and the balance of labels."""
    named = {"coin_change": "greedy", "knapsack": "greedy", "is_palindrome": "naive"}
    for family, total in totals.items():
        mutant = named.get(family.partition("@")[0], "")
        if tried := total.tried[mutant]:
            survived = total.survived[mutant]
            out.print(
                shown(f"{mutant} {family}: passes {survived} of {tried} problems ({100 * survived / tried:.2f} %)")
            )
    for family, total in totals.items():
        if total.answers:
            answer, count = total.answers.most_common(1)[0]
            share = f"{count} of {total.problems} ({100 * count / total.problems:.2f} %)"
            out.print(shown(f"best constant answer to {family}: {answer}, correct for {share}"))


def disjoint(
    families: tuple[str, ...] = (),
    contract: ContractChoice = DRAWN,
    count: int = 100_000,
    seed: int = 0,
    workers: int = 0,
    again: int = 2_000,
    python: Annotated[str, tyro.conf.arg(name="python")] = sys.executable,
) -> int:
    """Check that train, val and test share no question, and that another interpreter generates the same bytes.

    Args:
        families: families of the stream; none means all of this contract.
        contract: drawn, or classic for the plain contracts of all versions.
        count: problems of each split to compare.
        seed: seed of the stream.
        workers: processes; 0 takes one per core.
        again: problems of each split to generate again in another interpreter with another hash seed; 0 skips this.
        python: that interpreter; with one of another version this shows that versions agree.
    """
    config = ProblemsConfig(families=_full_names(families, contract), seed=seed)
    with progress() as bar:
        task = bar.add_task("problems", total=count * len(SPLITS))
        for found in compare_splits(config, count, workers):
            if isinstance(found, DisjointReport):
                report = found
            else:
                bar.update(task, completed=found)
    table = Table("split", "problems", "different questions", "different contents", "SHA-256 over all contents")
    for s in report.splits:
        table.add_row(s.split, str(s.problems), str(s.questions), str(s.contents), s.digest)
    out.print(table)
    out.print(
        shown(
            f"shared between splits: {report.shared_questions} questions, {report.shared_contents} contents; "
            f"in the wrong split: {report.misplaced}"
        )
    )
    _print_inputs(report)
    same = True
    if again:
        elsewhere = digests_elsewhere(config, again, python)
        same = all(elsewhere[split] == digest(config, split, again) for split in SPLITS)
        found = shown("the same bytes") if same else shown("DIFFERENT", "red")
        out.print(shown(f"first {again} of each split in {python}:"), found)
    return 0 if report.disjoint and same else 1


def _print_inputs(report: DisjointReport) -> None:
    """What plain contracts share: one program in all splits, and the inputs where there are only few."""
    if report.inputs or report.undivided:
        out.print(
            shown(
                "a plain contract asks for one program in every split: its inputs are what is divided; shared between "
                f"splits: {report.shared_inputs} of {report.inputs} inputs"
            )
        )
    if report.undivided:
        out.print(shown(f"too few inputs to divide, so that all splits ask them: {', '.join(report.undivided)}"))


def _full_names(names: Sequence[str], contract: ContractChoice) -> tuple[str, ...]:
    return tuple(full_name(name, contract) for name in names) or _all_families(contract)


def write_problems(
    path: tyro.conf.Positional[str],
    families: tuple[str, ...] = (),
    contract: ContractChoice = DRAWN,
    difficulties: tuple[int, ...] = ALL,
    count: int = 1000,
    split: Split = "train",
    seed: int = 0,
    hidden_tests: int = 10,
    public_examples: int = 3,
) -> int:
    """Write problems of the families to a file, which sources read by the mapping `own`.

    Args:
        path: .jsonl or .parquet file; one that is there already is not replaced.
        families: families to sample from; none means all of this contract.
        contract: drawn, or classic for the plain contracts of all versions.
        difficulties: difficulties to sample from.
        count: problems, all with different questions.
        split: train, val or test.
        seed: seed of the stream.
        hidden_tests: hidden tests a problem has at least.
        public_examples: examples a problem may show.
    """
    if count < 1:
        raise ValueError(f"count {count} leaves nothing to write; use 1 or more")
    target = check_target(path)
    config = QuestionsConfig(
        families=_full_names(families, contract), difficulties=difficulties, hidden_tests=hidden_tests,
        public_examples=public_examples,
    )  # fmt: skip
    found = Questions(config).each_distinct(split, count, seed)
    with progress() as bar:
        written = write(bar.track(found, total=count, description="problems"), target, wanted=count)
    out.print(shown(f"{written} problems of split {split} written to {path}"))
    return 0


def _all_families(contract: ContractChoice) -> tuple[str, ...]:
    return families.names() if contract == DRAWN else families.contracts()


def sources() -> int:
    """Print the built-in mappings and their data sets."""
    table = Table("mapping", "kind", "checker", "hub", "id column")
    for name in mapping.names():
        m = mapping.load(name)
        hub = "/".join(filter(None, (m.hub, m.subset)))
        hub = f"{hub} [{m.hub_split}]" if hub else "-"
        table.add_row(*map(shown, (name, m.kind, m.checker, hub, m.id or "row number")))
    out.print(table)
    out.print(
        shown(
            f"and {OWN!r}: files in crucible's own schema; the path of your own YAML mapping works in place of a name"
        )
    )
    return 0


def load(
    name: tyro.conf.Positional[str],
    path: str = "",
    glob: str = "",
    split: Split | Literal["by_hash"] = "test",
    strict: bool = False,
    limit: int = 0,
    print_first: int = 1,
    ray: bool = False,
    form_only: bool = False,
    prove: Annotated[Prove | None, tyro.conf.Suppress] = None,
) -> int:
    """Read a source, check every gold answer, and report what happened to its rows.

    Args:
        name: name of a mapping, path of a YAML mapping, or `own`.
        path: file or folder; empty takes the hub's data set.
        glob: files to take from a folder.
        split: split that the problems belong to; by_hash assigns each to a split by its hash.
        strict: stop at the first row that cannot be used.
        limit: read at most this many problems; 0 reads all.
        print_first: print this many problems.
        ray: read through Ray Data, one task per file.
        form_only: do not run gold answers and reference programs in the sandbox.
        prove: the check of gold answers, for callers in Python.
    """
    config = SourceConfig(
        mapping=name, path=path, glob=glob, split=split, strict=strict, limit=limit, prove=not form_only
    )
    report = Report()
    problems = problems_of(dataset(config, prove), config, report) if ray else read(config, report, prove)
    for i, problem in enumerate(problems):
        if i < print_first:
            print_problem(problem, tests=True)
    for note in report.notes:
        out.print(shown(note))
    for reason in report.reasons:
        out.print(shown("excluded", "yellow"), shown(reason))
    checked = "run through its checker" if prove and not form_only else "checked for its form only"
    out.print(
        shown(
            f"{report.kept} problems, {report.excluded} rows excluded, {report.passed_over} skipped by the mapping; "
            f"each gold answer was {checked}"
        )
    )
    return 0 if report.kept else 1


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
