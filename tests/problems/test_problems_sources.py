"""Data sets of every layout load from their fixtures; bad rows and files are named."""

import json
import sys
from types import SimpleNamespace

import pytest
from problems_helpers import FILES, FIXTURES
from pydantic import ValidationError
from ray import cloudpickle

from pipelines.measure.problem_set import SandboxProof
from problems import mapping
from problems.config import ProblemsConfig
from problems.mix import Finite, Mix
from problems.problem import Problem
from problems.problem_files import write
from problems.rows import SourceError
from problems.sources import Report, SourceConfig, dataset, problems_of, read, stream_dataset
from problems.stream import ProblemStream

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules


def load(name: str, **options) -> tuple[list[Problem], Report]:
    report = Report()
    config = SourceConfig(mapping=name, path=str(FIXTURES / FILES[name]), **options)
    return list(read(config, report)), report


def golds(problems: list[Problem]) -> list[str]:
    return [p.hidden_tests[0].expected for p in problems]


def test_every_mapping_has_a_fixture_that_loads():
    assert set(mapping.names()) == set(FILES)
    for name in FILES:
        problems, report = load(name, strict=True)
        assert problems and not report.excluded, name
        for problem in problems:
            assert Problem.from_row(problem.to_row()) == problem
            assert problem.statement and problem.hidden_tests and 1 <= problem.difficulty <= 10
            assert problem.id.startswith(name) and problem.split == "test"


def test_answers_are_taken_out_of_their_columns():
    assert golds(load("gsm8k")[0]) == ["55", "1550", "-5"]
    assert golds(load("svamp")[0]) == ["11", "15"]
    assert golds(load("numina_math_cot")[0]) == ["1", "\\frac{5}{6}"]  # of two boxes the last one counts
    assert golds(load("aime25")[0]) == ["29", "170"]


def test_rows_that_are_not_wanted_are_passed_over():
    problems, report = load("mmlu_pro_math")
    assert [p.id for p in problems] == ["mmlu_pro_math-90001", "mmlu_pro_math-90003"]
    assert report.passed_over == 1
    assert "(C) 8" in problems[0].statement and golds(problems) == ["C", "C"]
    problems, report = load("aime24")  # another year never stands in for the one asked for
    assert [p.id for p in problems] == ["aime24-2024-I-91", "aime24-2024-II-92"]
    assert report.passed_over == 1


def test_options_in_columns_of_their_own_are_shuffled_by_id():
    first, second = load("gpqa")[0]
    assert load("gpqa")[0] == [first, second]
    for problem, right in ((first, "4"), (second, "C≡C")):
        letter = golds([problem])[0]
        assert f"({letter}) {right}" in problem.statement.splitlines()
    assert "By what factor" in first.statement  # a quoted line break of the CSV


def test_code_benchmarks_keep_shown_and_scored_tests_apart():
    problem = load("humaneval")[0][0]
    assert (problem.kind, problem.entry_point) == ("assert", "shift")
    assert problem.hidden_tests[0].args[0].rstrip().endswith("check(shift)")
    first, second = load("mbpp")[0]
    assert first.public_examples[0].args[0] == "assert vowels('banana') == 3"
    assert first.public_examples[0] not in first.hidden_tests and len(first.hidden_tests) == 3
    assert second.entry_point == "hypotenuse" and second.hidden_tests[0].args[0].startswith("import math\n")
    stdin, function = load("livecodebench")[0]
    assert stdin.kind == "stdin" and stdin.public_examples[0].args == ("3\n1 2 3\n",)
    assert [t.args[0] for t in stdin.hidden_tests] == ["1\n-4\n", "0\n\n"]  # the public case is not scored
    assert function.kind == "function"
    assert function.signature == "def clampAll(nums: List[int], low: int, high: int) -> List[int]:"
    assert function.hidden_tests[1].args == ([-3, 30], -1, 10) and function.hidden_tests[1].expected == [-1, 10]


def test_packed_cases_cannot_run_code(tmp_path):
    import base64
    import pickle
    import zlib

    class Evil:
        def __reduce__(self):
            return (eval, ("1 + 1",))

    row = json.loads((FIXTURES / "livecodebench.jsonl").read_text().splitlines()[0])
    row["private_test_cases"] = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    (tmp_path / "bad.jsonl").write_text(json.dumps(row))
    report = Report()
    config = SourceConfig(mapping="livecodebench", path=str(tmp_path / "bad.jsonl"))
    assert list(read(config, report)) == []
    assert "the pickle asks for builtins.eval" in report.reasons[0]


def test_own_schema_goes_there_and_back(tmp_path):
    problems = list(ProblemStream(ProblemsConfig(), "val").range(0, 20))
    for name in ("own.jsonl", "own.parquet"):
        assert write(iter(problems), tmp_path / name) == 20
        assert list(read(SourceConfig(path=str(tmp_path / name), split="val", strict=True))) == problems


@pytest.fixture
def spoiled(tmp_path):
    lines = (FIXTURES / "gsm8k.jsonl").read_text().splitlines()
    good = json.loads(lines[0])
    rows = [
        lines[0],
        "{not json",
        json.dumps({**good, "answer": "no mark here"}),
        json.dumps({**good, "answer": "#### {1"}),
        json.dumps([1]),
        json.dumps({"question": "no answer column"}),
        lines[1],
    ]
    path = tmp_path / "spoiled.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_bad_rows_are_named_excluded_and_counted(spoiled):
    report = Report()
    problems = list(read(SourceConfig(mapping="gsm8k", path=str(spoiled)), report))
    assert golds(problems) == ["55", "1550"]
    assert (report.kept, report.excluded) == (2, 5)
    for line, what in ((2, "is not JSON"), (3, "has no '####'"), (4, "fails its own check"), (5, "not an object")):
        assert any(f"spoiled.jsonl:{line}: " in r and what in r for r in report.reasons), report.reasons
    assert any("no column 'answer'" in r and "there are question" in r for r in report.reasons)


def test_strict_mode_stops_at_the_first_bad_row(spoiled):
    with pytest.raises(SourceError, match=r"spoiled.jsonl:2: this line is not JSON .* \(strict mode stops here\)"):
        list(read(SourceConfig(mapping="gsm8k", path=str(spoiled), strict=True)))


def test_a_data_set_without_the_mapped_column_stops_at_once(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"questions": "?", "answer": "#### 1"}\n' * 3)
    message = r"x.jsonl:1: no column 'question'; did you mean 'questions'\?"
    with pytest.raises(SourceError, match=message):
        list(read(SourceConfig(mapping="gsm8k", path=str(tmp_path / "x.jsonl"))))


def test_duplicate_ids_are_reported_with_both_places(tmp_path):
    row = (FIXTURES / "math500.jsonl").read_text().splitlines()[0]
    (tmp_path / "twice.jsonl").write_text(f"{row}\n{row}\n")
    report = Report()
    config = SourceConfig(mapping="math500", path=str(tmp_path / "twice.jsonl"))
    assert len(list(read(config, report))) == 1
    assert "twice.jsonl:2: duplicate id" in report.reasons[0] and "twice.jsonl:1" in report.reasons[0]
    with pytest.raises(SourceError, match="duplicate id"):
        list(read(config.model_copy(update={"strict": True})))


def test_a_gold_program_that_fails_outside_is_excluded():
    report = Report()
    config = SourceConfig(mapping="humaneval", path=str(FIXTURES / "humaneval.jsonl.gz"))
    kept = list(read(config, report, prove=lambda p, code: "" if "2 * x" in code else "wrong answer"))
    assert [p.entry_point for p in kept] == ["double"]
    assert "fails its own check: wrong answer" in report.reasons[0]


def test_the_hub_is_read_where_no_path_is_given(monkeypatch):
    asked = []

    def load_dataset(name, subset, *, split, streaming, revision):
        asked.append((name, subset, split, streaming))
        if split == "gone":
            raise ValueError("Unknown split gone")
        return iter([json.loads(line) for line in (FIXTURES / "gsm8k.jsonl").read_text().splitlines()])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert golds(list(read(SourceConfig(mapping="gsm8k")))) == ["55", "1550", "-5"]
    assert len(list(read(SourceConfig(mapping="gsm8k", hub_split="train", split="train")))) == 3
    assert asked == [("openai/gsm8k", "main", "test", True), ("openai/gsm8k", "main", "train", True)]
    with pytest.raises(SourceError, match=r"cannot read openai/gsm8k from the hub .*Unknown split gone.*as `path`"):
        list(read(SourceConfig(mapping="gsm8k", hub_split="gone")))
    with pytest.raises(ValidationError, match="hub_split train has no effect with `path`"):
        SourceConfig(mapping="gsm8k", hub_split="train", path="x")


def test_questions_are_known_by_their_text_and_not_by_their_row(tmp_path):
    lines = (FIXTURES / "gsm8k.jsonl").read_text().splitlines()
    (tmp_path / "turned.jsonl").write_text("\n".join(reversed(lines)))
    turned = list(read(SourceConfig(mapping="gsm8k", path=str(tmp_path / "turned.jsonl"))))
    assert turned == list(reversed(load("gsm8k")[0]))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mapping": "gsm9k", "path": "x"}, "no mapping is called 'gsm9k'"),
        ({"mapping": "gsm8k", "path": "/nowhere/at/all"}, "there is no file or folder"),
        ({}, "needs `path`"),
        ({"mapping": "gsm8k", "path": str(FIXTURES), "glob": "*.nothing"}, "holds no"),
    ],
)
def test_unusable_sources_are_named(config, message):
    with pytest.raises(SourceError, match=message):
        list(read(SourceConfig(**config)))


def test_a_new_data_set_is_a_few_lines_of_yaml(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        'name: mine\nchecker: yes_no\nstatement: "Is {thing} edible?"\nanswer: {column: ok}\nid: key\n'
    )
    (tmp_path / "data.csv").write_text("key,thing,ok\na,bread,YES\nb,stone,NO\nc,soap,maybe\n")
    report = Report()
    config = SourceConfig(mapping=str(tmp_path / "mine.yaml"), path=str(tmp_path / "data.csv"))
    problems = list(read(config, report))
    assert [(p.id, p.statement) for p in problems] == [("mine-a", "Is bread edible?"), ("mine-b", "Is stone edible?")]
    assert "data.csv:4: the gold answer fails its own check: 'maybe' is neither YES nor NO" in report.reasons[0]
    (tmp_path / "mine.yaml").write_text("name: mine\nstatment: x\n")
    with pytest.raises(SourceError, match="statment"):
        list(read(config))


def content(row):
    return {"content": Problem.from_row(row).content_hash}


def test_ray_data_gives_the_same_problems(tmp_path, spoiled, ray_local):
    for name in ("mmlu_pro_math", "livecodebench"):
        config = SourceConfig(mapping=name, path=str(FIXTURES / FILES[name]))
        assert list(problems_of(dataset(config), config)) == list(read(config))
    report = Report()
    config = SourceConfig(mapping="gsm8k", path=str(spoiled))
    assert len(list(problems_of(dataset(config), config, report))) == 2 and report.excluded == 5
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train.jsonl").write_text(json.dumps({"question": "Other?", "answer": "#### 9"}))
    (folder / "test.jsonl").write_text((FIXTURES / FILES["gsm8k"]).read_text())
    (folder / "test_config.json").write_text('{"seed": 1}')
    whole = SourceConfig(mapping="gsm8k", path=str(folder))
    for read_by in (read, lambda config, report: problems_of(dataset(config), config, report)):
        report = Report()
        assert len(list(read_by(whole, report))) == 3 and report.excluded == 1 and "2 of 3 files" in report.notes[0]
    (tmp_path / "mbpp.jsonl").write_text((FIXTURES / "mbpp.jsonl").read_text().replace("== 0", "== 1", 1))
    code, report = SourceConfig(mapping="mbpp", path=str(tmp_path / "mbpp.jsonl")), Report()
    assert len(list(problems_of(dataset(code, SandboxProof()), code, report))) == 1
    assert "mbpp.jsonl:1: the gold answer fails its own check" in report.reasons[0]
    stream = ProblemStream(ProblemsConfig(), "test")
    mix = Mix([(stream, 1), (Finite(list(read(config)), 0), 1)], seed=2)
    for part in (stream, mix):
        found = sorted(row["content"] for row in stream_dataset(part, 5, 25).map(content).take_all())
        assert found == sorted(part.problem(i).content_hash for i in range(5, 25))
