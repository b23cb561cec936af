"""Jobs on a cluster whose nodes share nothing but the network: a head without CPUs, runs in a bucket."""

import os

import pytest

from cluster.storage import Storage
from pipelines.artifacts.traces import TracesError
from pipelines.trace_config import TraceDataConfig
from pipelines.trace_rows import rows_of
from tests.object_store import s3_server
from tests.private_nodes import MODELS, PrivateNodes, can_be_apart

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


FAMILIES = ["--problems.families", "reverse_string", "is_palindrome"]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory, tiny_student):
    if not can_be_apart():
        pytest.skip("no namespaces are to be had here")
    with s3_server(tmp_path_factory.mktemp("s3")) as reach, pytest.MonkeyPatch.context() as patch:
        for name, value in reach.items():
            patch.setenv(name, value)
        found = PrivateNodes([tiny_student], environment=reach)
        try:
            found.await_nodes()
            yield found
        finally:
            found.close()


def options():
    return ["--runs", "s3://bucket/runs", *(word for name in os.environ if name.startswith("AWS_")
                                             for word in ("--env", name))]  # fmt: skip


def test_a_bucket_and_the_network_are_all_that_the_nodes_share(nodes, tiny_student):
    """The teacher's ledger is the driver's, on a head that has no CPU to give; the sandbox is on the workers. The model
    that learns is a folder of the head, and so is what it becomes; engines and learner are elsewhere."""
    command = ["distil", "--name", "traces", "--count=2", "--problems.difficulties", "1"]
    output = nodes.submit(*command, *FAMILIES, options=options())
    assert "4 of 4 kept" in output
    there = Storage("s3://bucket/runs/traces")
    assert len((there.read("traces.jsonl") or b"").splitlines()) == 4 and "report.html" in there.names()
    for place in (there.url, f"{there.url}/traces.jsonl"):
        assert len(list(rows_of([place], TraceDataConfig()))) == 4, "a bucket's traces are there for the next job"
    with pytest.raises(TracesError, match="there are no traces at s3://bucket/runs/none"):
        list(rows_of(["s3://bucket/runs/none"], TraceDataConfig()))
    traces = ["--traces", there.url, "--sft.epochs", "1", "--sft.full", "True", "--evaluate", "True"]
    model = ["--model", f"{MODELS}/{tiny_student.name}", "--evaluation.problems", "4", "--evaluation.samples", "1"]
    output = nodes.submit("sft", "--name", "whole", *traces, *model, *FAMILIES, options=options())
    assert "model: s3://bucket/runs/whole/model" in output
    names = Storage("s3://bucket/runs/whole").names()
    assert {"model/config.json", "model/model.safetensors", "samples/evaluation-before.parquet"} <= set(names)
