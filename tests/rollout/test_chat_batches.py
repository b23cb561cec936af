"""Batches of OpenAI's chat API: handed in as a file, dealt out once, whatever the server's files hold."""

import asyncio
import contextlib
import json
import re

import hypothesis
import pytest
from hostile_server import DOLLAR, EVIL, OWN, Hostile, ask, environment, settings  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st

from rollout.teacher.chat_batches import ChatBatches, _result
from rollout.teacher.client import answer_all
from rollout.teacher.config import Price, TeacherConfig
from rollout.teacher.cost_ledger import Usage
from rollout.teacher.errors import TORN, AnswerTooLarge, BrokenAnswer
from rollout.teacher.opening import open_teacher
from rollout.teacher.request_cache import TeacherRequest

PRICE = Price(input=1000, output=5000)


def batched(url, folder, **more):
    return settings(url, folder, protocol="openai", batch=True, **more)


def completion(text, model="tiny", reason="stop", **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage,
            **more}  # fmt: skip


def succeeded(key, text="hello", **more):
    response = {"status_code": 200, "request_id": "r", "body": completion(text, **more)}
    return {"id": "1", "custom_id": key, "response": response, "error": None}


def failed(key, status, text, kind="invalid_request_error"):
    body = {"error": {"message": text, "type": kind, "param": None, "code": None}}
    return {"id": "1", "custom_id": key, "response": {"status_code": status, "body": body}, "error": None}


def lines(rows):
    return rows if isinstance(rows, bytes) else "".join(json.dumps(row) + "\n" for row in rows).encode()


class Batches(Hostile):
    """Keeps files and batches; `outputs(requests)` gives the rows of the output file, `errors` of the error file."""

    def __init__(self, outputs, errors=lambda requests: [], polls=1, **state):
        self.outputs, self.errors, self.polls, self.state = outputs, errors, polls, state
        self.files, self.handed = {}, []
        super().__init__(self.answer)

    def answer(self, request, raw):
        path = request.path.partition("?")[0]
        if path == "/v1/files":
            body = next(part for part in raw.split(b"\r\n\r\n") if part.startswith(b'{"custom_id"'))
            name = f"file-in{len(self.files)}"
            self.files[name] = [json.loads(row) for row in body.partition(b"\r\n--")[0].splitlines()]
            return self.json(request, {"id": name, "object": "file", **self.state.get("file", {})})
        if path == "/v1/batches":
            self.handed.append(self.files[json.loads(raw)["input_file_id"]])
            self.polls_left = self.polls
            return self.json(request, self.batch(len(self.handed)))
        if found := re.fullmatch(r"/v1/batches/batch_(\d+)", path):
            self.polls_left -= 1
            return self.json(request, self.batch(int(found[1])))
        _, _, _, name, _ = path.split("/")
        kind, number = name.removeprefix("file-").split("_")
        rows = (self.outputs if kind == "out" else self.errors)(self.handed[int(number) - 1])
        return request.send(lines(rows), content_type="application/octet-stream")

    def batch(self, number):
        ended = self.polls_left <= 0
        files = {"output_file_id": f"file-out_{number}", "error_file_id": f"file-err_{number}"} if ended else {}
        return {"id": f"batch_{number}", "object": "batch", "endpoint": "/v1/chat/completions", "created_at": 1,
                "completion_window": "24h", "input_file_id": "file-in0",
                "status": "completed" if ended else "in_progress", **files, **self.state.get("batch", {})}  # fmt: skip

    def json(self, request, value):
        request.send(json.dumps(value).encode(), content_type="application/json")


def echo(requests):
    return [succeeded(r["custom_id"], "seen: " + r["body"]["messages"][-1]["content"]) for r in reversed(requests)]


def together(config, folder, *texts):
    """What became of each text, asked at once, and the account."""

    async def go():
        teacher = open_teacher(config, folder, note=lambda line: None)
        requests = [TeacherRequest("s", (("user", text),)) for text in texts]
        found = [answered async for answered in answer_all(teacher, requests)]
        await teacher.close()
        return sorted(found, key=lambda one: one.index), teacher.account()

    return asyncio.run(asyncio.wait_for(go(), 30))


def test_a_batch_is_answered_at_half_the_price_and_kept(tmp_path):
    with Batches(echo, polls=3) as server:
        config = batched(server.url, tmp_path, prices={"tiny": PRICE}, budget=10.0, key_variable="OWN_KEY")
        found, account = together(config, tmp_path / "run", *"abc")
        again, _ = together(config, tmp_path / "run", *"abc")
    assert [one.reply.text for one in found] == ["seen: a", "seen: b", "seen: c"]
    assert all(one.reply.batch and one.reply.usage == Usage(11, 7) for one in found)
    assert account.requests == 3 and account.open_dollars == pytest.approx(0)
    assert account.dollars == pytest.approx(3 * (11 * 1000 + 7 * 5000) / 1e6 / 2)
    assert all(one.reply.cached for one in again) and [len(rows) for rows in server.handed] == [3]
    row = server.handed[0][0]
    assert row["method"] == "POST" and row["url"] == "/v1/chat/completions" and row["body"]["max_tokens"] == 16
    assert "stream" not in row["body"] and all(OWN in json.dumps(seen[2]) for seen in server.seen)


def test_a_run_that_dies_waits_for_the_batch_it_had_handed_in(tmp_path):
    with Batches(echo, polls=10**6) as server:
        config = batched(server.url, tmp_path)

        async def killed():
            teacher = open_teacher(config, tmp_path / "run", note=lambda line: None)
            requests = [TeacherRequest("s", (("user", text),)) for text in "ab"]
            work = asyncio.ensure_future(anext(answer_all(teacher, requests)))
            while not server.handed or len(server.seen) < 4:
                await asyncio.sleep(0.02)
            work.cancel()

        asyncio.run(killed())
        server.polls_left = server.polls = 1
        found, account = together(config, tmp_path / "run", *"abc")
    assert [one.reply.text for one in found] == ["seen: a", "seen: b", "seen: c"]
    assert [len(rows) for rows in server.handed] == [2, 1], "only the new question is handed in"
    assert account.requests == 3 and account.open_dollars == 0


def test_what_fails_in_a_batch_is_handed_in_again_or_refused(tmp_path):
    def outputs(requests):
        return [row for row in echo(requests) if row["response"]["body"]["choices"][0]["message"]["content"][-1] == "a"]

    def errors(requests):
        by_text = {r["body"]["messages"][-1]["content"]: r["custom_id"] for r in requests}
        late = {"custom_id": by_text.get("b"), "response": None, "error": {"code": "batch_expired", "message": "late"}}
        return [late, failed(by_text.get("c"), 400, "This model's maximum context length is 8 tokens")]

    with Batches(outputs, errors) as server:
        (good, late, bad), account = together(batched(server.url, tmp_path), tmp_path / "run", *"abc")
    assert good.reply.text == "seen: a"
    assert "expired, 3 times" in late.error and not late.stopped and len(server.handed) == 3
    assert "context length" in bad.error and not bad.stopped and account.open_dollars == 0


@pytest.mark.parametrize(
    ("row", "fix"),
    [
        (lambda key: failed(key, 400, "Unsupported value: 'temperature' does not support 0.3"), "teacher.temperature"),
        (lambda key: failed(key, 404, "The model `tiny` does not exist"), "teacher.model"),
    ],
)
def test_what_every_request_would_meet_stops_the_run(row, fix, tmp_path):
    with Batches(lambda requests: [], lambda requests: [row(r["custom_id"]) for r in requests]) as server:
        found, account = together(batched(server.url, tmp_path), tmp_path / "run", *"ab")
    assert all(one.stopped and fix in one.error for one in found) and len(server.handed) == 1
    assert account.open_dollars == 0


@pytest.mark.parametrize(
    ("message", "stopped"), [("The model `tiny` does not exist", True), ("Enqueued token limit reached", False)]
)
def test_a_batch_that_is_refused_as_a_whole_says_why(message, stopped, tmp_path):
    errors = {"object": "list", "data": [{"code": "x", "message": message, "line": None, "param": None}]}
    with Batches(echo, batch={"status": "failed", "errors": errors}) as server:
        found, account = together(batched(server.url, tmp_path), tmp_path / "run", *"ab")
    assert all(message in one.error and one.stopped == stopped for one in found) and account.open_dollars == 0


@pytest.mark.parametrize("protocol", ["anthropic", "openai"])
def test_a_server_without_batches_is_named(protocol, tmp_path):
    missing = lambda request, raw: request.send(b'{"detail": "Not Found"}', 404, content_type="application/json")  # noqa: E731
    with Hostile(missing) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, protocol=protocol, batch=True), tmp_path)
    assert answered.stopped and "takes no batches" in answered.error and "teacher.batch" in answered.error


def test_a_batch_answers_only_what_was_asked_and_once(tmp_path):
    def outputs(requests):
        own = requests[0]["custom_id"]
        strange = ["../outside", "", "a" * 10_000, None, 7, ["x"], "0" * 64]
        return [*(succeeded(key, "planted") for key in strange), succeeded(own, "first"), succeeded(own, "second")]

    with Batches(outputs) as server:
        (answered,), account = ask(batched(server.url, tmp_path), tmp_path)
    assert answered.reply.text == "first" and account.requests == 1
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1


def test_a_separator_of_unicode_within_an_answer_breaks_no_line(tmp_path):
    def outputs(requests):
        return json.dumps(succeeded(requests[0]["custom_id"], "a\u2028b\x85c"), ensure_ascii=False).encode()

    with Batches(outputs) as server:
        (answered,), _ = ask(batched(server.url, tmp_path), tmp_path)
    assert answered.reply.text == "a\u2028b\x85c"


@pytest.mark.parametrize(
    "state",
    [
        {"file": {"id": "../../x"}}, {"file": {"id": None}}, {"file": {"id": EVIL}}, {"batch": {"id": "../x"}},
        {"batch": {"id": EVIL}}, {"batch": {"status": EVIL}}, {"batch": {"status": ["completed"]}},
        {"batch": {"output_file_id": "../../v1/secret"}}, {"batch": {"output_file_id": 7}},
    ],
)  # fmt: skip
def test_ids_and_states_that_are_none_end_in_one_line(state, tmp_path):
    with Batches(echo, **state) as server:
        (answered,), _ = ask(batched(server.url, tmp_path), tmp_path)
    assert answered.stopped and not any("secret" in seen[1] for seen in server.seen)


@pytest.mark.parametrize(
    "rows",
    [
        lambda own: [],
        lambda own: [succeeded(own, "x" * 100_000)],
        lambda own: [succeeded(own, usage=None)] * 3,
        lambda own: [succeeded(own, choices=None)],
        lambda own: [succeeded(own, choices=[7])],
        lambda own: [succeeded(own, reason=EVIL)],
        lambda own: [{"custom_id": own, "response": {"status_code": 200}}],
        lambda own: [{"custom_id": own, "response": {"status_code": 200, "body": []}}],
        lambda own: [{"custom_id": own, "response": 7, "error": {"code": EVIL, "message": [EVIL]}}],
        lambda own: [{"custom_id": own}],
        lambda own: [7, [], None, "x"],
        lambda own: b"\n" * 1000,
        lambda own: b"x" * 1_000_000,
        lambda own: b"[" * 100_000 + b"\n",
    ],
)  # fmt: skip
def test_results_that_are_none_end_in_one_line_and_within_the_budget(rows, tmp_path):
    with Batches(lambda requests: rows(requests[0]["custom_id"])) as server:
        config = batched(server.url, tmp_path, max_tokens=1, budget=8.0, prices={"tiny": DOLLAR})
        (answered,), account = ask(config, tmp_path)
    if answered.reply is not None:  # the usage alone was missing
        assert answered.reply.dollars == pytest.approx(0.5) and answered.reply.usage.output == 1
    assert account.dollars + account.open_dollars <= 2.0


VALUES = st.none() | st.booleans() | st.integers() | st.sampled_from(["stop", "x", EVIL, "batch_expired"])
NAMES = st.sampled_from(
    ["custom_id", "response", "status_code", "body", "error", "code", "message", "choices", "content", "usage", "model",
     "finish_reason", "prompt_tokens", "completion_tokens"]
)  # fmt: skip
ROWS = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=16
)


@hypothesis.settings(deadline=None, max_examples=200)
@given(ROWS, ROWS)
def test_whatever_a_line_holds_it_is_a_result_or_torn(row, body):
    with contextlib.suppress(*TORN):
        found = _result(row)
        assert isinstance(found.result.type, str)
    bound = Usage(output=16, cache_write=100)
    with contextlib.suppress(BrokenAnswer, AnswerTooLarge):
        whole = ChatBatches.read(body, bound)
        assert isinstance(whole.text, str) and whole.usage.output <= 16


def test_a_line_of_each_kind_is_read_as_such():
    assert _result(succeeded("k")).result.type == "succeeded"
    assert ChatBatches.read(completion("x"), Usage(output=16, cache_write=100)).usage == Usage(11, 7)


def test_batches_of_openai_are_at_half_its_prices():
    config = TeacherConfig(model="gpt-5-mini", protocol="openai", batch=True)
    assert Usage(1_000_000, 1_000_000).cost(config.price, batch=config.batch) == pytest.approx((0.25 + 2) / 2)
