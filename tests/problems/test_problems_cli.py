"""The command prints what it says and names what is wrong with a request."""

from pathlib import Path

import pytest

from problems import families
from problems.cli import main
from problems.config import ProblemsConfig
from problems.split_audit import DisjointReport, compare_splits, digest, digests_elsewhere
from problems.splits import SPLITS
from problems.validate import ValidationCounts, validate

FIXTURES = Path(__file__).parent / "fixtures"


def test_list_names_every_family(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert f"{len(families.names())} families" in printed and "shortest_path" in printed
    assert len(families.names()) >= 35


def test_show_prints_statement_tests_and_programs(capsys):
    assert main(["show", "coin_change", "--difficulty", "7", "--tests", "--solutions"]) == 0
    printed = capsys.readouterr().out
    assert "hidden:" in printed and "mutant other_order" in printed and "PASSES" not in printed


def test_validate_prints_a_table_and_succeeds(capsys):
    arguments = ["validate", "two_sum", "scheduling", "--seeds", "3", "--difficulties", "1", "9", "--workers", "1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "two_sum" in printed and "d9" in printed and "best constant answer to scheduling" in printed


def test_validation_finds_a_family_that_does_not_prove_itself():
    counts = validate("is_palindrome", 5, range(4))
    assert counts.sound and counts.constants and not counts.constants_passed
    for spoiled in ({"accepted": counts.correct - 1}, {"rejected": counts.mutants // 2}, {"constants_passed": 1}):
        bad = ValidationCounts(**{**vars(counts), **spoiled})
        assert not bad.sound


def test_disjoint_compares_the_splits(capsys):
    arguments = ["disjoint", "--families", "rpn", "word_problems", "--count", "150", "--again", "20", "--workers", "1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "0 questions, 0 contents" in printed and "the same bytes" in printed


def test_disjoint_report_sees_an_overlap():
    config = ProblemsConfig(families=("lcs",))
    *_, report = compare_splits(config, 60, workers=1)
    assert isinstance(report, DisjointReport) and report.disjoint
    assert digests_elsewhere(config, 30) == {s: digest(config, s, 30) for s in SPLITS}
    assert not DisjointReport(report.splits, 1, 0, 0).disjoint
    assert not DisjointReport(report.splits, 0, 0, 2).disjoint


def test_sources_and_load(capsys):
    assert main(["sources"]) == 0
    assert main(["load", "gsm8k", "--path", str(FIXTURES / "gsm8k.jsonl")]) == 0
    printed = capsys.readouterr().out
    assert "livecodebench" in printed and "3 problems, 0 rows excluded" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "coin_chang"], "did you mean 'coin_change'?"),
        (["show", "lcs", "--difficulty", "12"], "difficulty 12 does not exist"),
        (["validate"], "or give --all"),
        (["validate", "nqueens"], "did you mean 'n_queens'?"),
        (["validate", "lcs", "--difficulties", "0"], "difficulty 0 does not exist"),
        (["load", "gsm8k", "--path", "/not/there"], "there is no file or folder"),
        (["load", "nothing", "--path", "x"], "no mapping is called 'nothing'"),
    ],
)
def test_wrong_requests_end_with_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
