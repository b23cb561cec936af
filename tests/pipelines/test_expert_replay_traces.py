"""Expert iteration whose replay starts with solutions that others wrote."""

from expert_scripted import config, start
from rich.console import Console
from shared_folder import needed_folder

from pipelines.artifacts.traces import Trace
from pipelines.jobs.expert.replay_mix import solutions_of
from pipelines.trace_config import TraceDataConfig
from pipelines.trace_data import load_traces, written_traces
from problems.stream import ProblemStream
from verify.config import VerifyConfig


def test_replay_may_start_with_solutions_from_files(tmp_path):
    """Another system's, and one of a question that is measured: that is left out."""
    formats = needed_folder("cases/formats")
    data = TraceDataConfig(problems=(str(formats / "problems_list.json"),))
    read, _ = load_traces([str(formats / "solutions.jsonl")], data, VerifyConfig(), Console(quiet=True))
    asked = config(tmp_path, replay_traces=("file",), iterations=1, replay=0.6)
    stream = ProblemStream(asked.general, "test")
    measured = [Trace(p, "x = 1", "") for p in (stream.problem(index) for index in range(40))]
    _, student = start(asked, before=solutions_of([*read, *measured]))
    folder, (_, rows, _) = tmp_path / "run", student.learnt[0]
    assert [row["code"] for row in rows if row["problem_type"] == "functions"] == [read[0].code]
    assert not any(row["code"] == "x = 1" for row in rows)
    assert "solutions left out, whose questions are measured" in (folder / "log.txt").read_text()
    assert written_traces(folder / "iterations" / "1" / "traces.jsonl")
