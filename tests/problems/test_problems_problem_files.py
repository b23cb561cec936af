"""Generated problems as files: whole or not at all, and read again as they were."""

import pytest

from problems import problem_files
from problems.cli import main
from problems.config import ProblemsConfig
from problems.problem_files import write
from problems.questions import PartConfig, Questions, QuestionsConfig
from problems.sources import SourceConfig, read
from problems.stream import ProblemStream

FORMATS = ("p.jsonl", "p.parquet")


def stream(count: int = 20):
    return ProblemStream(ProblemsConfig(families=("lcs", "islands"), difficulties=(1, 2)), "val").range(0, count)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("contract", ["drawn", "classic"])
def test_written_problems_are_loaded_and_asked(name, contract, tmp_path, capsys):
    path = tmp_path / name
    options = ["--families", "lcs", "scheduling", "--difficulties", "1", "2", "--count", "12", "--contract", contract]
    assert main(["write", str(path), *options, "--split", "val", "--seed", "3"]) == 0
    assert "12 problems of split val written" in capsys.readouterr().out
    assert main(["load", "own", "--path", str(path), "--split", "val"]) == 0
    assert "12 problems, 0 rows excluded" in capsys.readouterr().out

    config = ProblemsConfig(families=("lcs", "scheduling"), difficulties=(1, 2), contract=contract)
    made = Questions(QuestionsConfig(**config.model_dump())).distinct("val", 12, 3)
    assert list(read(SourceConfig(path=str(path), split="by_hash", strict=True))) == made
    asked = Questions(QuestionsConfig(parts=(PartConfig(source=SourceConfig(path=str(path), split="val")),)))
    assert {p.content_hash for p in asked.distinct("val", 12, 0)} == {p.content_hash for p in made}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_whole_or_is_not_there(name, tmp_path, capsys):
    def torn():
        yield from stream(9)
        raise RuntimeError("the stream ends here")

    path = tmp_path / name
    with pytest.raises(RuntimeError, match="ends here"):
        write(torn(), path)
    with pytest.raises(ValueError, match="only 20 different questions, and count is 21"):
        write(stream(), path, wanted=21)
    assert list(tmp_path.iterdir()) == []
    few = ["--families", "scheduling@classic", "--difficulties", "1", "--split", "test", "--count", "300"]
    assert main(["write", str(path), *few]) == 2
    assert "different questions, and count is 300; lower it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_memory_holds_one_group_of_rows(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    def rows(bound, value):
        monkeypatch.setattr(problem_files, bound, value)
        path = tmp_path / f"{bound}.parquet"
        assert write(stream(), path) == 20
        layout = pq.ParquetFile(path).metadata
        return [layout.row_group(i).num_rows for i in range(layout.num_row_groups)]

    assert rows("GROUP_ROWS", 8) == [8, 8, 4]
    assert rows("GROUP_BYTES", 1) == [1] * 20


@pytest.mark.parametrize("name", FORMATS)
def test_what_could_not_be_read_again_is_not_written(name, tmp_path, monkeypatch):
    monkeypatch.setattr(problem_files, "BIGGEST_ROW", 500)
    with pytest.raises(ValueError, match=r"problem .*-val-0-0 takes 0 MiB.*request fewer tests"):
        write(stream(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_wrong_targets_are_refused_before_a_problem_is_made(tmp_path, capsys):
    (tmp_path / "old.jsonl").write_text("mine\n")
    for target, message in (
        ("old.jsonl", "exists already; remove it, or name another file"),
        ("p.csv", "use a .jsonl or .parquet file"),
        ("none/p.jsonl", "there is no folder"),
    ):
        assert main(["write", str(tmp_path / target), "--count", "100000000"]) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.strip().splitlines()) == 1
    assert (tmp_path / "old.jsonl").read_text() == "mine\n"
    assert main(["write", str(tmp_path / "p.jsonl"), "--count", "0"]) == 2
    assert "leaves nothing to write" in capsys.readouterr().err
