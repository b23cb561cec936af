"""`crucible distil`: what is kept, what is kept apart, and that nothing is asked twice."""

import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path

import job
import pyarrow.parquet as pq
import pytest
from pages import figures_of
from rich.console import Console
from servers import SECRET, Front, busy, message

from pipelines.artifacts.traces import TRACE_SCHEMA, read_answer
from pipelines.config import ConfigError
from pipelines.jobs.distil import Requests, reference_solution, select_problems
from pipelines.jobs.teacher_job_config import DistilConfig
from pipelines.trace_config import TraceDataConfig
from pipelines.trace_data import load_traces, written_traces
from problems.questions import QuestionsConfig
from problems.stream import ProblemStream
from rollout.prompts import completion_text
from verify.config import VerifyConfig
from verify.extract import extract_code

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("ray_local")]
PROBLEMS = QuestionsConfig(families=("coin_change", "n_queens"), difficulties=(3, 5))
CONFIG = DistilConfig(problems=PROBLEMS, count=3)
SAME = ["--problems.families", "coin_change", "n_queens", "--problems.difficulties", "3", "5", "--count=3"]
ASKED = 12


KEYS = {"ANTHROPIC_API_KEY": SECRET, "TEACHER_KEY": SECRET}


def start(*arguments, **more):
    return job.start(*arguments, env={**os.environ, **KEYS}, **more)


def crucible(*arguments, status=0, **environment):
    return job.crucible(*arguments, status=(status,), **{**KEYS, **environment})


def rows(folder, name="traces"):
    return [json.loads(line) for line in (Path(folder) / f"{name}.jsonl").read_text().splitlines()]


def at(front, tmp_path, name="run", **settings):
    settings = {"model": "tiny", "base_url": front.url, "cache": tmp_path / "cache", "backoff": 0.05,
                "key_variable": "TEACHER_KEY"} | settings  # fmt: skip
    options = [f"--teacher.{key.replace('_', '-')}={value}" for key, value in settings.items()]
    return ["distil", "--runs", tmp_path, "--name", name, *SAME, *options]


class Lesson:
    """Answers as a teacher would: rightly, unless `wrong[number]` holds answers to give before."""

    def __init__(self):
        problems = select_problems(CONFIG)
        self.numbers = {Requests(CONFIG).first(p).messages[0][1]: n for n, p in enumerate(problems)}
        self.right = [completion_text(reference_solution(p), "think", f"thought {p.id}") for p in problems]
        self.wrong, self.heard, self.wait, self.usage = {}, [], 0.0, {}

    def __call__(self, body):
        time.sleep(self.wait)
        number = self.numbers[body["messages"][0]["content"]]
        self.heard.append((number, body["messages"]))
        planned = self.wrong.get(number, [])
        text = planned.pop(0) if planned else self.right[number]
        return text if isinstance(text, dict) else message(text, **self.usage)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """A run of the reference teacher."""
    runs = tmp_path_factory.mktemp("offline")
    output = crucible("distil", "--runs", runs, "--name", "run", *SAME)
    return runs / "run", output


def test_the_reference_teacher_fills_every_cell_with_verified_traces(offline):
    folder, output = offline
    kept = rows(folder)
    assert len(kept) == ASKED and not rows(folder, "failures")
    assert set(Counter((row["problem_type"], row["difficulty"]) for row in kept).values()) == {3}
    assert len({row["problem"] for row in kept}) == ASKED
    for row in kept:
        assert row["verified"] and row["status"] == "passed" and row["tests_passed"] == row["tests_total"] > 3
        assert row["thinking"].startswith("1. Understand") and row["isolation"] >= 2
        assert "```" not in row["thinking"] and f"def {row['function_name']}(" in row["code"]
    assert "12 of 12 kept" in output.replace("\n", " ")
    assert "3 / 3" in output
    page = (folder / "report.html").read_text()
    assert set(figures_of(page)) == {"cells", "statuses"} and "1. Understand" in page


def test_no_question_is_asked_twice_also_at_several_difficulties():
    problems = select_problems(DistilConfig(count=20))
    assert len({problem.content_hash for problem in problems}) == len(problems) == 20 * 3 * 3


def test_a_family_of_few_questions_is_named(monkeypatch):
    class Few(ProblemStream):
        def problem(self, index):
            return super().problem(index % 7)

    monkeypatch.setattr("problems.grid.ProblemStream", Few)
    few = QuestionsConfig(families=("coin_change",), difficulties=(1,))
    assert len(select_problems(DistilConfig(problems=few, count=7))) == 7
    with pytest.raises(ConfigError, match=r"coin_change has only 7 more train problems of difficulty 1 .* lower count"):
        select_problems(DistilConfig(problems=few, count=8))


def test_both_files_hold_the_same_columns(offline):
    folder, _ = offline
    table = pq.read_table(folder / "traces.parquet")
    assert table.schema.equals(TRACE_SCHEMA)
    assert table.to_pylist() == rows(folder)
    wanted = {
        "problem_type", "problem_id", "title", "description", "signature", "function_name", "tests", "difficulty",
        "thinking", "code", "raw_response", "teacher", "verified", "tests_passed", "tests_total", "timestamp",
    }  # fmt: skip
    assert wanted <= set(table.column_names)


def test_what_is_learnt_is_what_was_judged(offline):
    for row, trace in zip(rows(offline[0]), written_traces(offline[0])):
        text = trace.completion("think")
        assert extract_code(text, trace.problem.entry_point).code.strip() == row["code"]
        assert read_answer(trace.problem, text) == (row["thinking"], row["code"])
        assert trace.problem.split == "train"


def test_failures_are_kept_apart_with_their_verdicts_and_corrected(tmp_path):
    teacher = Lesson()
    right = teacher.right
    teacher.wrong = {
        0: ["<think>\nhm\n</think>\n```python\ndef f(*a):\n    return None\n```"] * 2,  # wrong twice
        1: ["<think>\nhm\n</think>\nI would rather not."],  # no code, corrected
        2: [right[2].replace("<think>\n", "<think>\n```python\nnot this\n```\n")],  # a fence inside the thinking
        3: [message(right[3][:40], "max_tokens")] * 2,  # cut off twice
        4: [right[4].removeprefix("<think>")[right[4].find("</think>") + 1 :]],  # code without thinking
    }
    with Front(reply=teacher) as front:
        output = crucible(*at(front, tmp_path))
    kept, failed = rows(tmp_path / "run"), rows(tmp_path / "run", "failures")
    assert [row["number"] for row in kept] == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]
    assert [(row["number"], row["round"], row["status"]) for row in failed] == [
        (0, 0, "wrong_answer"), (0, 1, "wrong_answer"), (1, 0, "unparsed"), (3, 0, "truncated"), (3, 1, "truncated"),
    ]  # fmt: skip
    assert kept[0]["round"] == 1 and "not this" in kept[1]["thinking"] and "not this" not in kept[1]["code"]
    assert kept[2]["thinking"] == ""
    corrections = [messages for number, messages in teacher.heard if len(messages) == 3 and number == 0]
    assert failed[0]["detail"] and failed[0]["detail"] in corrections[0][2]["content"]
    assert corrections[0][1] == {"role": "assistant", "content": failed[0]["raw_response"]}
    assert "1 of them by correction" in output.replace("\n", " ") and "1 without thinking" in output.replace("\n", " ")
    figures = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert figures["statuses"] == {"passed": 10, "truncated": 2, "unparsed": 1, "wrong_answer": 2}
    assert figures["requests_paid"] == 15 and figures["truncated"] == 2


TIMES = ("timestamp", "cpu_seconds")


def timeless(folder, name):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows(folder, name)]


@pytest.mark.slow
def test_a_killed_run_asks_nothing_again_and_ends_alike(tmp_path):
    whole, cut = Lesson(), Lesson()
    cut.wait = 0.4
    for teacher in (whole, cut):
        teacher.wrong = {3: ["no code"], 7: ["no code", "nor now"]}
    with Front(reply=whole) as front:
        crucible(*at(front, tmp_path, "whole", cache=tmp_path / "one", concurrency=1))
    with Front(reply=cut) as front:
        arguments = at(front, tmp_path, "cut", cache=tmp_path / "two", concurrency=1)
        process = start(*arguments, start_new_session=True)
        while len(cut.heard) < 6 or not (tmp_path / "cut" / "attempts.jsonl").exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1.0)  # the teacher's actor notices that its driver is gone
        before = len(cut.heard)
        again = crucible(*arguments, status=2)
        assert "--resume" in again
        crucible("distil", "--resume", tmp_path / "cut")
    asked = Counter(json.dumps(messages) for _, messages in cut.heard)
    in_flight = [messages for messages, count in asked.items() if count > 1]
    assert 6 <= before < 14
    assert len(in_flight) <= 1, "only the request whose answer the kill cut off may be asked again"
    for name in ("traces", "failures"):
        assert timeless(tmp_path / "cut", name) == [
            row | {"request": mine["request"]}
            for row, mine in zip(timeless(tmp_path / "whole", name), timeless(tmp_path / "cut", name))
        ]


@pytest.mark.slow
def test_a_budget_ends_a_run_that_more_money_continues(tmp_path):
    prices = "{tiny: {input: 100, output: 100}}"
    teacher = Lesson()
    teacher.usage = {"input_tokens": 800, "output_tokens": 100}
    with Front(reply=teacher) as front:
        (tmp_path / "c.yaml").write_text(f"teacher: {{model: tiny, prices: {prices}, max_tokens: 100, budget: 0.5}}\n")
        output = crucible("distil", "--config", tmp_path / "c.yaml", *at(front, tmp_path)[1:], status=2)
        assert "the budget of $0.5000 is spent" in output and "resume with a larger teacher.budget" in output
        first = len(front.asked())
        assert 0 < first < ASKED
        crucible("distil", "--resume", tmp_path / "run", "--teacher.budget=50")
        assert len(front.asked()) == ASKED
    assert len(rows(tmp_path / "run")) == ASKED


def test_a_real_server_is_a_teacher_whose_answers_are_judged(messages_url, tmp_path):
    with Front(messages_url) as front:
        known = ["--problems.families", "reverse_string", "is_palindrome"]  # others it answers with nothing at all
        (tmp_path / "prompts").mkdir()
        (tmp_path / "prompts" / "code.jinja").write_text("Reply with a program.")  # a long text leaves it speechless
        own = ["--teacher.prompts", tmp_path / "prompts"]
        process = start(*at(front, tmp_path, max_tokens=40, concurrency=4), "--corrections=0", *known, *own)
        output, _ = process.communicate(timeout=300)
    failed = rows(tmp_path / "run", "failures")
    assert len(failed) + len(rows(tmp_path / "run")) == ASKED, output
    assert failed and all(row["teacher"] == "tiny" and row["output_tokens"] for row in failed), failed
    assert any(row["raw_response"] for row in failed)
    assert SECRET not in "".join(p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--teacher.model=claude-sonnet-4-5", "--teacher.env-file=/none"], "there is no API key"),
        (["--teacher.model=claude-unheard-of"], "teacher.prices"),
        (["--teacher.model=x", "--teacher.budget=0"], "buys nothing"),
        (["--teacher.budget=1"], "no effect"),
        (["--prompt.style=direct"], "must be think"),
        (["--resume", "/none"], "no run to resume"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(tmp_path, arguments, says):
    key = {"ANTHROPIC_API_KEY": "" if "no API key" in says else SECRET}
    output = crucible("distil", "--runs", tmp_path, "--name", "x", *arguments, status=2, **key)
    assert re.search(re.escape(says), output), output
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.slow
def test_a_refused_key_and_a_teacher_that_is_down_end_in_one_line(tmp_path):
    with Front(reply=Lesson()) as front:
        front.script += [busy(401, "authentication_error")] * 50
        assert "refuses the API key" in crucible(*at(front, tmp_path, "refused"), status=2)
        front.script[:] = [busy(529)] * 1000
        assert "did not answer" in crucible(*at(front, tmp_path, "down", patience=0.5), status=2)
        front.script.clear()
        crucible("distil", "--resume", tmp_path / "down")
    assert len(rows(tmp_path / "down")) == ASKED


def test_what_is_written_is_read_and_judged_again(offline):
    for place in (offline[0], offline[0] / "traces.jsonl", offline[0] / "traces.parquet"):
        traces, report = load_traces([str(place)], TraceDataConfig(), VerifyConfig(), Console(quiet=True))
        assert traces == written_traces(offline[0]) and len(traces) == report.rows == ASKED
