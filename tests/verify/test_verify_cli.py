"""`crucible verify run` and `probe`. The tests of `attack` are with the attacks."""

import json

import pytest
from conftest import HONEST, coin_problem, fenced

from verify.cli import main


@pytest.fixture
def files(tmp_path):
    one = tmp_path / "problem.json"
    one.write_text(json.dumps(coin_problem().to_row()))
    many = tmp_path / "problems.jsonl"
    rows = [{**coin_problem().to_row(), "id": name} for name in ("a", "b")]
    many.write_text("\n".join(json.dumps(row) for row in rows))
    for name, text in {
        "right": HONEST,
        "wrong": "def coin_change(c, a): return 0",
        "completion": f"So:\n{fenced(HONEST)}",
        "binary": "def coin_change(c, a): return 0 # ",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "broken.jsonl").write_text(json.dumps(rows[0]) + "\n{")
    (tmp_path / "binary").write_bytes(b"\x00\xff\xfe")
    return tmp_path


def run(files, *args) -> int:
    return main(["run", *[str(files / a[1:]) if a.startswith("@") else a for a in args]])


def test_run(files, capsys):
    assert run(files, "--problem", "@problem.json", "--code", "@right") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "passed"
    assert run(files, "--problem", "@problem.json", "--code", "@wrong") == 1
    assert run(files, "--problem", "@problems.jsonl", "--id", "b", "--code", "@completion", "--completion") == 0
    assert run(files, "--problem", "@problem.json", "--code", "@binary") == 1


@pytest.mark.parametrize(
    "args, complaint",
    [
        (("--problem", "@nowhere.json", "--code", "@right"), "cannot be read"),
        (("--problem", "@right", "--code", "@right"), "does not hold problems"),
        (("--problem", "@problem.json", "--code", "@nothing"), "does not exist"),
        (("--problem", "@problems.jsonl", "--id", "z", "--code", "@right"), "no problem 'z'"),
        (("--problem", "@broken.jsonl", "--code", "@right"), "broken.jsonl:2: this line is not JSON"),
    ],
)
def test_what_cannot_be_run(files, args, complaint, capsys):
    assert run(files, *args) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_probe(capsys):
    assert main(["probe"]) == 0
    out = capsys.readouterr().out
    assert "isolation level" in out and "start a process" in out and "NO" not in out.split("isolation")[0].split()


def test_no_such_command(capsys):
    assert main(["fly"]) == 2
    assert "run,probe,attack" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_a_renamed_command_is_refused_with_its_new_name(capsys):
    assert main(["storm", "--jobs", "9"]) == 2
    assert capsys.readouterr().err == "crucible verify: storm is now called chaos; use that name\n"
