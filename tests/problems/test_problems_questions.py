"""What a job asks: splits of a mix, no held-out question in training, and numbers that always mean the same problem."""

import json
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from problems.config import ProblemsConfig
from problems.curriculum import CurriculumConfig, Levels
from problems.mix import Finite
from problems.problem import Problem
from problems.problem_files import write
from problems.questions import Questions, QuestionsConfig, by_index, identity, worked_answer
from problems.rows import SourceError
from problems.stream import ProblemStream

FIXTURES = Path(__file__).parent / "fixtures"


def rows(path: Path, texts: range | list[int], answer: str = "#### 5") -> str:
    path.write_text("".join(json.dumps({"question": f"What is {n}?", "answer": answer}) + "\n" for n in texts))
    return str(path)


def questions(*parts: dict, **fields) -> Questions:
    return Questions(QuestionsConfig.model_validate({"parts": parts, **fields}))


def gsm8k(path: str, split: str = "train", **fields) -> dict:
    return {"source": {"mapping": "gsm8k", "path": path, "split": split}, **fields}


def test_without_parts_a_job_asks_the_families_own_stream():
    config = QuestionsConfig(families=("lcs",), seed=4)
    asked = Questions(config)
    assert asked.part("train", 4).problem(7) == ProblemStream(
        ProblemsConfig(families=("lcs",), seed=4), "train"
    ).problem(7)
    assert config.model_dump() == ProblemsConfig(families=("lcs",), seed=4).model_dump()
    assert {p.split for p in asked.distinct("val", 30, 0)} == {"val"}


def test_each_split_holds_its_own_sources_by_weight(tmp_path):
    asked = questions(
        {"procedural": {"families": ["lcs"]}, "weight": 3},
        gsm8k(rows(tmp_path / "train.jsonl", range(40))),
        gsm8k(rows(tmp_path / "test.jsonl", range(100, 110)), "test"),
        gsm8k(rows(tmp_path / "left_out.jsonl", range(200, 210)), weight=0),
    )
    part = asked.part("train", 3)
    train = [part.problem(i) for i in range(4000)]
    assert {p.split for p in train} == {"train"}
    texts = [p.statement for p in train if p.family == "gsm8k"]
    assert len(texts) == 1000 and all(len(set(texts[i : i + 40])) == 40 for i in range(0, 1000, 40)), "once an epoch"
    assert asked.part("train", 3).problem(11) == train[11]
    assert train[11] != asked.part("train", 4).problem(11)
    tested = asked.distinct("test", 30, 0)
    assert len({p.question_hash for p in tested}) == 30 and sum(p.family == "gsm8k" for p in tested) == 10
    assert asked.report.kept == 50


def test_rows_can_be_dealt_out_by_hash(tmp_path):
    asked = questions(gsm8k(rows(tmp_path / "all.jsonl", range(200)), "by_hash"))
    held = {split: asked.distinct(split, 200, 0) for split in ("train", "val", "test")}
    sizes = [len(problems) for problems in held.values()]
    assert sum(sizes) == 200 and 140 < sizes[0] < 180 and min(sizes) > 5
    again = questions(gsm8k(rows(tmp_path / "less.jsonl", range(0, 200, 7)), "by_hash"))
    for split, problems in held.items():  # where a question lies does not depend on the rows beside it
        assert {p.id for p in again.distinct(split, 30, 0)} <= {p.id for p in problems}


def test_a_held_out_question_is_never_trained_on(tmp_path):
    train = gsm8k(rows(tmp_path / "train.jsonl", range(20)))
    mapping = tmp_path / "other.yaml"
    mapping.write_text('name: other\nstatement: "{question}"\nanswer: {column: answer, after: "####"}\n')
    other = {"source": {"mapping": str(mapping), "path": rows(tmp_path / "test.jsonl", range(15, 25)), "split": "test"}}
    asked = questions(train, other)
    trained = asked.distinct("train", 20, 0)
    assert asked.report.leaked == 5 and len(trained) == 15
    assert not {identity(p) for p in trained} & {identity(p) for p in asked.distinct("test", 20, 0)}


def test_problems_written_by_us_are_asked_as_they_were(tmp_path):
    made = list(ProblemStream(ProblemsConfig(), "train").range(0, 25))
    for name in ("own.jsonl", "own.parquet"):
        write(iter(made), tmp_path / name)
        part = questions({"source": {"path": str(tmp_path / name), "split": "train"}}).part("train", 0)
        assert {part.problem(i).id for i in range(25)} == {p.id for p in made}
        assert part.problem(3) in made


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"parts": [{}]}, "either `procedural` or `source`"),
        ({"parts": [{"procedural": {}, "source": {"path": "x"}}]}, "either `procedural` or `source`"),
        ({"parts": [{"procedural": {}}], "families": ["lcs"]}, "families would have no effect together with parts"),
        ({"parts": [{"procedural": {}}], "difficulties": [1]}, "difficulties would have no effect"),
        ({"parts": [{"procedural": {"families": ["coin_chang"]}}]}, "did you mean 'coin_change'"),
        (
            {"parts": [{"source": {"path": "x"}}], "curriculum": {"schedule": "linear"}},
            "applies to procedural parts",
        ),
        ({"curriculum": {"schedule": "linear", "window": 3}}, "window has no effect with schedule linear"),
    ],
)
def test_impossible_requests_are_named(config, message):
    with pytest.raises(ValidationError, match=message):
        QuestionsConfig.model_validate(config)


def test_sources_that_leave_nothing_to_ask_are_named(tmp_path):
    broken = rows(tmp_path / "broken.jsonl", range(3), answer="none")
    with pytest.raises(ValueError, match=r"gave no problems; the first of 3 excluded rows: .*broken.jsonl:1: "):
        questions(gsm8k(broken))
    with pytest.raises(SourceError, match="there is no file or folder"):
        questions(gsm8k("/not/there"))
    only_test = questions(gsm8k(rows(tmp_path / "test.jsonl", range(3)), "test"))
    with pytest.raises(
        ValueError, match=r"no problems of split train, only of test; give a source with `split: train`"
    ):
        only_test.part("train", 0)


def test_a_gold_answer_is_proven_unless_that_is_switched_off(tmp_path):
    path = rows(tmp_path / "x.jsonl", range(6))
    config = QuestionsConfig.model_validate({"parts": [gsm8k(path)]})
    asked = Questions(config, prove=lambda p, gold: "" if p.statement in ("What is 1?", "What is 4?") else "wrong")
    assert asked.report.kept == 2 and asked.report.excluded == 4
    part = gsm8k(path)
    part["source"]["prove"] = False
    assert Questions(QuestionsConfig(parts=[part]), prove=lambda p, gold: "wrong").report.kept == 6


def test_worked_answers_are_known_of_families_and_of_final_answers(tmp_path):
    assert worked_answer(ProblemStream(ProblemsConfig(families=("rpn",)), "train").problem(0)).startswith("def ")
    problem = questions(gsm8k(rows(tmp_path / "x.jsonl", [1]))).part("train", 0).problem(0)
    assert worked_answer(problem) == "5"


def test_a_linear_curriculum_is_a_function_of_the_number_alone():
    part = ProblemStream(ProblemsConfig(families=("lcs", "bits")), "train")
    curriculum = CurriculumConfig(schedule="linear", start=3, end=5, steps_per_level=2)
    problem = pickle.loads(pickle.dumps(by_index(part, curriculum, indices_per_step=4)))
    assert [problem(n).difficulty for n in range(0, 32, 4)] == [3, 3, 4, 4, 5, 5, 5, 5]
    assert problem(9) == part.problem(9, (4,)) and problem(9).family == part.problem(9).family
    assert by_index(part, CurriculumConfig(), 4)(9) == part.problem(9)
    with pytest.raises(ValueError, match="follows outcomes"):
        by_index(part, CurriculumConfig(schedule="adaptive"), 4)


def test_levels_decide_a_number_by_the_steps_before_it():
    levels = Levels(CurriculumConfig(schedule="adaptive", window=2), indices_per_step=2, max_staleness=1)
    part = ProblemStream(ProblemsConfig(families=("lcs",)), "train")
    problem = by_index(part, CurriculumConfig(schedule="adaptive", window=2), 2, levels.difficulties)
    seen: dict[int, Problem] = {}
    for step in range(6):
        for number in range(2 * (step + 2)):  # what may be asked while this step is trained
            assert seen.setdefault(number, problem(number)) == problem(number)
        levels.observe(step, [("lcs", levels.difficulties(2 * step, "lcs")[0], 1.0)] * 2)
    assert [seen[n].difficulty for n in range(0, 14, 2)] == [1, 1, 2, 2, 3, 3, 4]
    levels.observe(2, [("lcs", 2, 0.0)] * 2)  # noted already
    assert levels.steps == 6
    levels.observe(6, [("gsm8k", 4, 0.0)] * 9)  # no level moves a data set, and it moves none
    assert levels.difficulties(100, "lcs") == (4,)
    with pytest.raises(ValueError, match="outcomes of step 8 were recorded before those of step 7"):
        levels.observe(8, [])


def test_levels_go_on_after_a_roll_back_as_if_nothing_had_been():
    config = CurriculumConfig(schedule="self_paced", window=2)
    outcomes = [[("lcs", 1, 1.0), ("bits", 1, 0.4)], [("lcs", 1, 1.0)], [("lcs", 2, 1.0)], [("lcs", 2, 0.9)]]
    once, twice = (Levels(config, 2, 0) for _ in range(2))
    for step, groups in enumerate(outcomes):
        once.observe(step, groups)
        twice.observe(step, groups if step < 2 else [("lcs", 2, 0.0), ("bits", 1, 1.0)])
    assert once.difficulties(100, "lcs") == (3,) and once.difficulties(100, "bits") == once.difficulties(
        100, "rpn"
    ) == (1,)
    twice.roll_back(2)
    assert twice.steps == 2
    for step, groups in enumerate(outcomes):
        twice.observe(step, groups)
    assert [twice.difficulties(n, "lcs") for n in range(12)] == [once.difficulties(n, "lcs") for n in range(12)]


def test_finite_parts_have_no_negative_numbers(tmp_path):
    with pytest.raises(ValueError, match="index -1 is negative"):
        Finite(list(ProblemStream(ProblemsConfig(), "train").range(0, 2)), 0).problem(-1)


TURNS = {"lcs": 2, "fibonacci": 1}


def test_families_take_turns_by_steps_and_each_step_has_one():
    config = QuestionsConfig(families=("fibonacci", "lcs"), difficulties=(2, 5), curriculum={"steps_by_family": TURNS})
    train = by_index(Questions(config).part("train", 3), config.curriculum, 4)
    problems = [train(index) for index in range(40)]
    steps = [{p.family for p in problems[start : start + 4]} for start in range(0, 40, 4)]
    assert steps == [{"lcs"}, {"lcs"}, {"fibonacci"}] * 3 + [{"lcs"}]
    assert {p.difficulty for p in problems} == {2, 5} and len({p.id for p in problems}) == 40
    assert pickle.loads(pickle.dumps(train))(17) == problems[17], "the same on every machine"
    held_out = Questions(config).distinct("test", 20, 0)
    assert {p.family for p in held_out} == {"fibonacci", "lcs"}, "evaluations ask all of them"


@pytest.mark.parametrize("schedule", ["linear", "self_paced"])
def test_turns_go_with_every_schedule_of_difficulty(schedule):
    config = QuestionsConfig(
        families=("fibonacci", "lcs"), curriculum={"schedule": schedule, "steps_by_family": TURNS, "start": 3}
    )
    asked = []

    def levels(index, family):
        asked.append((index, family))
        return (7,)

    train = by_index(Questions(config).part("train", 0), config.curriculum, 2, levels)
    problems = [train(index) for index in range(6)]
    assert [p.family for p in problems] == ["lcs"] * 4 + ["fibonacci"] * 2
    if schedule == "linear":
        assert {p.difficulty for p in problems} == {3}
    else:
        assert {p.difficulty for p in problems} == {7} and asked == list(enumerate(p.family for p in problems))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"curriculum": {"steps_by_family": {"lcs": 0}}}, "gives lcs 0 steps"),
        ({"curriculum": {"steps_by_family": {"lcs": 1}}}, "fibonacci is in families alone"),
        ({"curriculum": {"steps_by_family": {**TURNS, "rpn": 1}}}, "rpn is in steps_by_family alone"),
        ({"curriculum": {"steps_by_family": TURNS}, "weights": {"lcs": 2.0}}, "weights has no effect beside"),
    ],
)
def test_turns_that_mean_nothing_are_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        QuestionsConfig(families=("fibonacci", "lcs"), **fields)
    with pytest.raises(ValidationError, match="parts has no effect beside"):
        QuestionsConfig(parts=({"procedural": {"families": ("lcs",)}},), curriculum={"steps_by_family": {"lcs": 1}})
