"""Evaluations in run folders: judged groups are kept as they come, taken over exactly once, and only where they fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.artifacts.run_folder import RunFolder
from pipelines.artifacts.samples import ADDED, sample_rows
from pipelines.measure import recorded
from pipelines.measure.evaluation import Evaluation
from pipelines.measure.recorded import Parts, collected, known_groups, load_evaluation, write_evaluation
from problems.config import ProblemsConfig
from problems.families import get
from problems.grid import grid
from problems.problem import Group, Sample, Status, Test, Verdict
from rollout.policy import PolicyVersion

CONFIG = {"model": "m"}
BASE = PolicyVersion("run", 0)
PROBLEMS = grid(ProblemsConfig(families=("lis", "word_problems"), difficulties=(1, 5)), "test", 3)


def judged(number: int, *statuses: Status, adapter: str = "", prompt: int = 4) -> Group:
    samples = tuple(
        Sample(PROBLEMS[number].id, f"{number}.0", i, np.ones(prompt, np.int32), np.ones(3, np.int32),
               np.full(3, -0.1, np.float32), f"answer {number} {i}", "stop", 0, adapter)
        for i in range(len(statuses))
    )  # fmt: skip
    verdicts = tuple(Verdict(s, 1, 2, 2) for s in statuses)
    return Group(number, 0, PROBLEMS[number], samples, verdicts, tuple(float(v.passed) for v in verdicts), "Q?")


@pytest.fixture
def folder(tmp_path):
    with RunFolder.create(tmp_path / "run", CONFIG) as folder:
        yield folder


def keep(folder: RunFolder, *groups: Group) -> None:
    with Parts(folder, "model") as parts:
        for group in groups:
            parts.add(group)


def files(folder: RunFolder) -> list[str]:
    return sorted(p.relative_to(folder.path).as_posix() for p in (folder.path / "samples").rglob("*") if p.is_file())


def test_an_evaluation_goes_on_from_its_parts(folder):
    keep(folder, judged(0, Status.PASSED, Status.WRONG_ANSWER), judged(2, Status.WRONG_ANSWER, Status.TRUNCATED))
    keep(folder, judged(1, Status.PASSED, Status.PASSED))
    assert files(folder) == [f"samples/evaluation-model.parts/00000{n}.parquet" for n in (1, 2)]
    assert load_evaluation(folder, "model") is None, "a part is no evaluation"
    known = known_groups(folder, "model", PROBLEMS, BASE, 2)
    assert known.keys() == {PROBLEMS[n].id for n in (0, 1, 2)}
    for number in (0, 1, 2):
        assert known[PROBLEMS[number].id].problem is PROBLEMS[number]
        assert [s.text for s in known[PROBLEMS[number].id].samples] == [f"answer {number} {i}" for i in (0, 1)]

    rest = {p.id: judged(n, Status.PASSED, Status.PASSED, prompt=90) for n, p in enumerate(PROBLEMS) if n > 2}
    whole = collected("model", PROBLEMS, {**known, **rest}, (), 20, 100)
    assert [g.problem.id for g in whole.groups] == [p.id for p in PROBLEMS], "in order, each once"
    assert whole.short_of_room == 2 * len(rest)
    write_evaluation(folder, whole, 0)
    assert files(folder) == ["samples/evaluation-model.parquet"]
    again = load_evaluation(folder, "model")
    assert again is not None and again.outcomes == whole.outcomes and again.gold == whole.gold
    assert list(known_groups(folder, "model", PROBLEMS, BASE, 2)) == [p.id for p in PROBLEMS]
    found = collected("model", PROBLEMS, known_groups(folder, "model", PROBLEMS, BASE, 2), (), 20, 100)
    assert found.row(0) == whole.row(0), "figures do not depend on where the samples come from"


def test_what_does_not_fit_is_asked_again(folder):
    keep(folder, judged(0, Status.PASSED), judged(1, Status.PASSED, adapter="other"), judged(2, Status.INFRASTRUCTURE))
    keep(folder, judged(3, Status.PASSED, Status.PASSED))
    assert list(known_groups(folder, "model", PROBLEMS, BASE, 1)) == [PROBLEMS[0].id]
    other = dataclasses.replace(PROBLEMS[0], params={"another": "question"})
    assert known_groups(folder, "model", [other], BASE, 1) == {}
    assert known_groups(folder, "against", PROBLEMS, BASE, 1) == {}


def test_samples_that_are_in_the_table_and_in_its_parts_count_once(folder):
    both = {p.id: judged(n, Status.PASSED, Status.WRONG_ANSWER) for n, p in enumerate(PROBLEMS)}
    write_evaluation(folder, collected("model", PROBLEMS, both, (), 20, 100), 0)
    keep(folder, *both.values(), judged(0, Status.PASSED, Status.PASSED, adapter="older"))
    known = known_groups(folder, "model", PROBLEMS, BASE, 2)
    assert {i: [v.status for v in g.verdicts] for i, g in known.items()} == {
        i: [Status.PASSED, Status.WRONG_ANSWER] for i in both
    }


def test_what_is_judged_is_on_disk_while_the_rest_is_awaited(folder, monkeypatch):
    monkeypatch.setattr(recorded, "PART_SECONDS", 0.0)
    parts = Parts(folder, "model")
    for number in range(3):
        parts.add(judged(number, Status.PASSED))
        assert len(files(folder)) == number + 1
    keep(folder)
    assert len(files(folder)) == 3, "no part of nothing"


def test_gold_answers_are_in_the_samples(folder):
    groups = {p.id: judged(n, Status.PASSED) for n, p in enumerate(PROBLEMS)}
    write_evaluation(folder, collected("model", PROBLEMS, groups, (), 20, 100), 0)
    table = folder.samples("evaluation-model")
    gold = dict(zip(table["problem_id"].to_pylist(), table["gold"].to_pylist(), strict=True))
    for problem in PROBLEMS:
        if problem.kind == "answer":
            assert gold[problem.id] == problem.hidden_tests[0].expected
        else:
            assert gold[problem.id] in get(problem.family).solutions(problem).correct
    assert {p.kind for p in PROBLEMS} == {"answer", "function"}


def test_samples_without_a_known_answer_have_none(folder):
    mbpp = dataclasses.replace(PROBLEMS[0], family="mbpp", kind="assert", hidden_tests=(Test(("assert f()",), None),))
    group = dataclasses.replace(judged(0, Status.PASSED), problem=mbpp)
    write_evaluation(folder, collected("model", [mbpp], {mbpp.id: group}, (), 20, 100), 0)
    assert folder.samples("evaluation-model")["gold"].to_pylist() == [None]


def test_samples_of_before_these_columns_are_read(folder, tmp_path):
    path = folder.write_samples("evaluation-model", sample_rows(judged(0, Status.PASSED)))
    pq.write_table(pq.read_table(path).drop_columns(list(ADDED)), path)
    found = load_evaluation(folder, "model")
    assert isinstance(found, Evaluation) and found.gold == {} and len(found.groups[0].samples[0].prompt_ids) == 0
    assert (
        folder.samples("evaluation-model").schema.names
        == pq.read_schema(folder.write_samples("evaluation-other", sample_rows(judged(0, Status.PASSED)))).names
    )
    assert list(known_groups(folder, "model", PROBLEMS, BASE, 1)) == [PROBLEMS[0].id]


def test_a_resumed_folder_keeps_its_parts_and_loses_what_was_half_written(folder):
    keep(folder, judged(0, Status.PASSED))
    place = folder.path / "samples" / "evaluation-model.parts"
    (place / ".000002.parquet-ab.partial").write_bytes(b"half")
    (place / "stray.parquet").write_bytes(b"not ours")
    folder.close()
    with RunFolder.resume(folder.path, CONFIG) as again:
        assert list(known_groups(again, "model", PROBLEMS, BASE, 1)) == [PROBLEMS[0].id]
    assert not list(Path(place).glob("*.partial"))
