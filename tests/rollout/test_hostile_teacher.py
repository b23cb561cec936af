"""A server of the Messages API that is taken over: what it may try, by the real SDK, and what it gets."""

import asyncio
import gzip
import io
import json
import math
import os
import stat
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from rich.console import Console
from servers import as_events, error_body, message

from pipelines.display import LiveDisplay
from pipelines.run_folder import RunFolder
from rollout.answers import AnswerCache, RequestRefused, TeacherRequest, TeacherStopped, answers_folder
from rollout.purse import Usage, append_rows, most
from rollout.teacher import LEDGER_FILE, answer_all, find_key, open_teacher
from rollout.teacher_config import Price, TeacherConfig
from rollout.teacher_keys import NO_KEY

ANTHROPIC = "sk-ant-of-anthropic-alone"
OWN = "key-of-this-server-alone"
DOLLAR = Price(input=0, output=1_000_000, cache_write=1, cache_read=1)
"""A dollar an answer of one token."""
EVIL = "[/INST][bold]\x1b[31m\x1b]8;;http://evil\x1b\\x\r\u202e\x9b2J"


class Hostile(ThreadingHTTPServer):
    """Answers by `handle(request, raw)`, where `request` sends; keeps what came."""

    daemon_threads = True

    def __init__(self, handle):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.handle, self.seen = handle, []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, *_):
        pass

    def __exit__(self, *exception):
        self.shutdown()
        super().__exit__(*exception)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, raw))
        self.server.handle(self, raw)

    do_POST = do_GET

    def send(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in {"content-type": "text/event-stream", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, first, again, pause=0.02):
        """Without end, until nobody listens."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(first)
        while True:
            self.wfile.write(again)
            self.wfile.flush()
            time.sleep(pause)


def says(text="hello", usage=None, final=None, stop_reason="end_turn", model="tiny"):
    """A stream of one message. `usage` and `final` are what it counts."""
    whole = message(text, stop_reason, model)
    events = as_events(whole).decode().split("\n\n")
    start = json.loads(events[0].partition("data: ")[2])
    start["message"]["usage"] = whole["usage"] if usage is None else usage
    delta = json.loads(events[4].partition("data: ")[2])
    delta["usage"] = {"output_tokens": 7} if final is None else final
    events[0], events[4] = (f"event: {e['type']}\ndata: {json.dumps(e)}" for e in (start, delta))
    return "\n\n".join(events).encode()


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("ANTHROPIC_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANTHROPIC_API_KEY", ANTHROPIC)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-" + ANTHROPIC)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"x-corporate: {ANTHROPIC}\nauthorization: Basic {ANTHROPIC}")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://elsewhere.example")
    monkeypatch.setenv("OWN_KEY", OWN)
    monkeypatch.chdir(tmp_path)


def settings(url, folder, **more):
    given = {"max_tokens": 16, "patience": 0.2, "backoff": 0.02, "sdk_retries": 0, "timeout": 5.0, "poll_seconds": 0.02}
    return TeacherConfig(model="tiny", base_url=url, cache=folder / "cache", **{**given, **more})


def ask(config, folder, *texts, seconds=20):
    """What became of each text, asked one after another, and the account; nothing may go on for longer."""

    async def go():
        teacher = open_teacher(config, folder / "run", note=notes.append)
        found = []
        for text in texts or ("q",):
            request = TeacherRequest("s", (("user", text),))
            found += [answered async for answered in answer_all(teacher, [request])]
        await teacher.close()
        return found, teacher.account()

    notes = []
    found, account = asyncio.run(asyncio.wait_for(go(), seconds))
    for text in [*notes, *(answered.error for answered in found)]:
        assert text.isprintable() and len(text) < 1000 and ANTHROPIC not in text and OWN not in text
    kept = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert ANTHROPIC not in kept and OWN not in kept
    return found, account


# --- keys


@pytest.mark.parametrize("own", [False, True])
def test_a_server_gets_its_own_key_or_none_and_nothing_else_of_the_environment(own, tmp_path):
    with Hostile(lambda request, raw: request.send(says())) as server:
        ask(settings(server.url, tmp_path, **({"key_variable": "OWN_KEY"} if own else {})), tmp_path)
    sent = json.dumps(server.seen[0][2])
    assert ANTHROPIC not in sent and "x-corporate" not in sent and (OWN in sent) == own


def test_even_a_key_that_is_handed_over_stays_with_anthropic(tmp_path):
    async def go(url):
        teacher = open_teacher(settings(url, tmp_path), tmp_path / "run", SecretStr(ANTHROPIC))
        await teacher.answer(TeacherRequest("s", (("user", "q"),)))
        await teacher.close()

    with Hostile(lambda request, raw: request.send(says())) as server:
        asyncio.run(go(server.url))
    assert ANTHROPIC not in json.dumps(server.seen[0][2])


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("", ANTHROPIC),
        ("https://api.anthropic.com/", ANTHROPIC),
        ("https://API.anthropic.com:443", ANTHROPIC),
        ("http://api.anthropic.com", None),
        ("https://api.anthropic.com:8443", None),
        ("https://api.anthropic.com.evil.example", None),
        ("https://evil.example/api.anthropic.com", None),
        ("https://api-anthropic.com", None),
        ("http://127.0.0.1:8000", None),
        ("http://10.0.0.7:8000", None),
    ],
)
def test_the_default_key_is_found_for_anthropic_alone(url, key):
    assert find_key(TeacherConfig(model="m", base_url=url)) == (SecretStr(key) if key else NO_KEY)


def test_prices_of_anthropic_hold_where_its_address_is_written_out():
    assert TeacherConfig(model="claude-haiku-4-5", base_url="https://api.anthropic.com").price.output == 5


@pytest.mark.parametrize(
    "url", ["http://10.0.0.7:8000", "http://127.0.0.1.evil.example", "http://localhost.evil", "http://0.0.0.0"]
)
def test_a_key_never_goes_in_plain_text_beyond_this_machine(url):
    with pytest.raises(TeacherStopped, match=r"OWN_KEY.*https"):
        find_key(TeacherConfig(model="m", base_url=url, key_variable="OWN_KEY"))


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.9.9.9", "http://[::1]:80", "https://server.example/v1"]
)
def test_a_key_of_its_own_goes_to_its_server(url):
    assert find_key(TeacherConfig(model="m", base_url=url, key_variable="OWN_KEY")).get_secret_value() == OWN


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "https://user:hunter2@server.example"},
        {"base_url": "https://hunter2@server.example"},
        {"base_url": "https://server.example\\@hunter2"},
        {"base_url": "https://server.example/?key=hunter2"},
        {"base_url": "https://server.example#hunter2"},
        {"base_url": "https://server.example/hunter2\r\nx: y"},
        {"base_url": "ftp://hunter2"},
        {"base_url": "https://api.anthropıc.com/hunter2"},
        {"base_url": "//hunter2"},
        {"key_variable": "sk-hunter2"},
        {"key_variable": "hunter2\n"},
        {"key_variable": ""},
        {"base_url": "https://server.example", "key_variable": "ANTHROPIC_AUTH_TOKEN"},
    ],
)
def test_an_address_or_a_variable_that_is_none_is_refused_and_not_repeated(given):
    with pytest.raises(ValueError) as refused:
        TeacherConfig(model="m", **given)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("key", ["two words", "line\nend", "caf\u00e9-key-123"])
def test_a_key_that_no_header_may_hold_is_not_repeated(key, monkeypatch):
    monkeypatch.setenv("OWN_KEY", key)
    with pytest.raises(TeacherStopped) as refused:
        find_key(TeacherConfig(model="m", base_url="https://server.example", key_variable="OWN_KEY"))
    assert key not in str(refused.value) and "OWN_KEY" in str(refused.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_redirect_to_another_server_is_followed(status, host, tmp_path):
    with Hostile(lambda request, raw: request.send(says())) as thief:
        where = f"http://{host}:{thief.server_port}/v1/messages"
        with Hostile(lambda request, raw: request.send(b"", status, location=where)) as server:
            (answered,), _ = ask(settings(server.url, tmp_path, key_variable="OWN_KEY"), tmp_path)
    assert not thief.seen and answered.stopped and "teacher.base_url" in answered.error


def test_a_redirect_within_the_server_is_followed_and_ends(tmp_path):
    def handle(request, raw):
        if request.path.startswith("/v1/messages"):
            return request.send(b"", 307, location="/here")
        return request.send(says() if json.loads(raw)["model"] == "tiny" else b"")

    with Hostile(handle) as server:
        (answered,), _ = ask(settings(server.url, tmp_path), tmp_path)
    assert answered.reply.text == "hello"
    with Hostile(lambda request, raw: request.send(b"", 307, location=request.path)) as server:
        (answered,), _ = ask(settings(server.url, tmp_path / "endless"), tmp_path / "endless")
    assert answered.stopped and len(server.seen) == 4


def test_a_proxy_of_the_environment_sees_no_plain_request(tmp_path, monkeypatch):
    with (
        Hostile(lambda request, raw: request.send(says("of the proxy"))) as proxy,
        Hostile(lambda request, raw: request.send(says())) as server,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        (answered,), _ = ask(settings(server.url, tmp_path), tmp_path)
    assert answered.reply.text == "hello" and not proxy.seen


@pytest.mark.parametrize("where", ["error", "text", "model", "stop_reason"])
def test_a_key_that_is_echoed_is_kept_nowhere(where, tmp_path):
    def handle(request, raw):
        key = request.headers["authorization"].removeprefix("Bearer ")
        padded = "x" * (290 - len("invalid: ")) + " " + key * 3  # where a cut text would keep a part of it
        if where == "error":
            return request.send(error_body("invalid_request_error", padded), 400)
        return request.send(says(**{where: key}))

    with Hostile(handle) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, key_variable="OWN_KEY"), tmp_path)
    assert OWN[:8] not in answered.error + (answered.reply.text if answered.reply else "")


# --- money


COUNTS = [
    -1, -(10**30), math.nan, math.inf, -math.inf, None, "7", "a lot", True, False, 1.5, [], {}, 10**18, 10**400,
]  # fmt: skip


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cache_creation_input_tokens", "final"])
def test_a_budget_holds_whatever_is_counted(name, tmp_path):
    turn = iter(COUNTS * 2)

    def handle(request, raw):
        count = next(turn)
        text = says(usage={"input_tokens": 1, "output_tokens": 1} | ({} if name == "final" else {name: count}),
                    final={"output_tokens": count} if name in ("final", "output_tokens") else None)  # fmt: skip
        return request.send(text.replace(b"Infinity", b"1e999"))

    with Hostile(handle) as server:
        config = settings(server.url, tmp_path, max_tokens=1, budget=4.0, prices={"tiny": DOLLAR}, patience=0)
        found, account = ask(config, tmp_path, *map(str, range(len(COUNTS))))
    assert len(server.seen) <= 4 and account.dollars + account.open_dollars <= 4.0 + 1e-9
    assert found[-1].stopped and "budget" in found[-1].error
    assert all(answered.reply is None or answered.reply.usage.output == 1 for answered in found)


@pytest.mark.parametrize("events", range(1, 5))
def test_tries_that_count_nothing_are_charged_in_full(events, tmp_path):
    part = b"".join(text + b"\n\n" for text in says(usage={}).split(b"\n\n")[:events])
    with Hostile(lambda request, raw: request.send(part)) as server:
        config = settings(server.url, tmp_path, max_tokens=1, budget=3.0, prices={"tiny": DOLLAR}, patience=5)
        (answered,), account = ask(config, tmp_path)
    assert len(server.seen) == 3 and account.dollars == pytest.approx(3.0) and "budget" in answered.error


counts = st.one_of(st.integers(), st.floats(), st.none(), st.sampled_from(["7", "a lot", True, [1]]))


@given(st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens"]), counts))
def test_usage_is_what_can_be_or_the_bound(found):
    bound = Usage(output=16, cache_write=100)
    usage = Usage.of(found, bound)
    assert all(type(count) is int and count >= 0 for count in (usage.input, usage.output, usage.cache_read))
    assert usage.output <= 16 and usage.input + usage.cache_read < 10_000
    if usage != bound:
        assert usage.input == found["input_tokens"] and usage.output == found["output_tokens"]


PAID = '{"event": "paid", "key": "a", "dollars": %s, "input": 0, "output": 0, "cache_write": 0, "cache_read": 0}'


@pytest.mark.parametrize(
    "row",
    [
        "{}",
        "[]",
        "1",
        PAID % -5,
        PAID % "NaN",
        PAID % "true",
        '{"event": "sent", "key": "a", "most": NaN}',
        '{"event": "sent", "key": "a", "most": -1e9}',
        '{"event": "sent", "key": ["a"], "most": 1}',
        '{"event": "sent", "key": "a"}',
        '{"event": "gift", "key": "a"}',
        '{"event": ["paid"], "key": "a"}',
        "[" * 9999,
        "\x1b[31m",
    ],
)
def test_a_ledger_that_somebody_wrote_ends_in_one_line(row, tmp_path):
    (tmp_path / LEDGER_FILE).write_text(row + "\n")
    with pytest.raises(TeacherStopped) as stopped:
        open_teacher(settings("http://127.0.0.1:9", tmp_path), tmp_path)
    assert LEDGER_FILE in str(stopped.value) and "\n" not in str(stopped.value)


# --- bytes and time


def flood(text=b"x" * 65536, times=512):
    """An event of text, again and again."""
    head, delta, _ = says(text.decode()).partition(b"event: content_block_delta")
    event = (delta + _).split(b"\n\n")[0] + b"\n\n"
    return head + event * times


@pytest.mark.parametrize(
    "attack",
    [
        lambda r: r.send(flood()),
        lambda r: r.send(says("x" * 20_000)),
        lambda r: r.send(says().partition(b"\n\n")[0] + b"\n\n" + b"event: ping\ndata: {}\n\n" * 50_000),
        lambda r: r.send(b"event: ping\n" * 100_000),  # quadratic in the SDK's reader
        lambda r: r.send(b"\n" * 300_000),
        lambda r: r.send(b"data: " + b"x" * 1_000_000),
        lambda r: r.send(b"event: message_start\ndata: " + b"[" * 200_000 + b"\n\n"),
        lambda r: r.send(b"event: message_start\ndata: " + b"1" * 200_000 + b"\n\n"),
        lambda r: r.send(gzip.compress(says() + bytes(1 << 24)), content_encoding="gzip"),
        lambda r: r.send(gzip.compress(says()), content_encoding="GZIP, deflate"),
        lambda r: r.send(says(), x_giant="x" * 300_000),
        lambda r: r.send(b"x" * (1 << 24), 400),
        lambda r: r.send(error_body("invalid_request_error", EVIL * 5000), 400),
        lambda r: r.send(b"", 500, retry_after="nan"),
        lambda r: r.send(b"", 500, retry_after="-inf"),
        lambda r: r.send(says(stop_reason=EVIL)),
        lambda r: r.send(says(stop_reason=7)),
        lambda r: r.send(b'event: content_block_delta\ndata: ["type"]\n\n'),
        lambda r: r.send(b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": 7}\n\n'),
        lambda r: r.send(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)  # fmt: skip
def test_no_answer_takes_more_than_its_bound(attack, tmp_path):
    began = time.process_time()
    with Hostile(lambda request, raw: attack(request)) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, patience=0.1, timeout=1.0), tmp_path)
    assert answered.reply is None and answered.error
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1 << 16
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (says().partition(b"\n\n")[0] + b"\n\n", b"event: ping\ndata: {}\n\n"),
        (b"", b":"),
        (b"event: message_start\ndata: ", b" "),
    ],
)
def test_an_answer_that_never_ends_is_ended(first, again, tmp_path):
    with Hostile(lambda request, raw: request.drip(first, again)) as server:
        began = time.monotonic()
        (answered,), _ = ask(settings(server.url, tmp_path, patience=0.1, timeout=0.4), tmp_path)
        assert time.monotonic() - began < 5
    assert answered.stopped and "teacher.timeout" in answered.error


def test_what_follows_a_whole_answer_is_not_waited_for(tmp_path):
    with Hostile(lambda request, raw: request.drip(says(), b"event: ping\ndata: {}\n\n")) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, timeout=10), tmp_path, seconds=5)
    assert answered.reply.text == "hello"


def test_headers_that_never_end_are_ended(tmp_path):
    def handle(request, raw):
        request.close_connection = True
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            request.wfile.write(b"x: y\r\n")
            request.wfile.flush()
            time.sleep(0.02)

    with Hostile(handle) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, patience=0.1, timeout=0.4), tmp_path, seconds=5)
    assert answered.stopped


# --- batches


def batches(results, url=None, batch="msgbatch_1", status="ended"):
    """Serves batches whose results are what `results(requests)` gives."""
    asked = {}

    def handle(request, raw):
        base = url or f"http://{request.headers['host']}"
        state = {
            "id": batch, "type": "message_batch", "processing_status": status, "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z", "request_counts": {}, "results_url": f"{base}/results",
        }  # fmt: skip
        if raw:
            asked["all"] = json.loads(raw)["requests"]
        if request.path == "/results":
            rows = results(asked["all"])
            lines = rows if isinstance(rows, bytes) else "".join(json.dumps(row) + "\n" for row in rows).encode()
            return request.send(lines, content_type="application/x-jsonl")
        return request.send(json.dumps(state).encode(), content_type="application/json")

    return Hostile(handle)


def succeeded(custom_id, text, **more):
    return {"custom_id": custom_id, "result": {"type": "succeeded", "message": {**message(text), **more}}}


def test_a_batch_answers_only_what_was_asked_and_once(tmp_path):
    victim = TeacherConfig(model="claude-haiku-4-5", cache=tmp_path / "cache")
    key = TeacherRequest("s", (("user", "of somebody else"),)).key(victim)
    strange = ["../outside/planted", "/tmp/planted", "..", "", "a" * 10_000, "\x00", None, 7, ["x"], key, key.upper()]

    def results(requests):
        own = requests[0]["custom_id"]
        return [*(succeeded(one, "planted") for one in strange), succeeded(own, "first"), succeeded(own, "second"),
                succeeded(own.upper(), "third")]  # fmt: skip

    with batches(results) as server:
        (answered,), account = ask(settings(server.url, tmp_path, batch=True), tmp_path)
    assert answered.reply.text == "first" and account.requests == 1
    (entry,) = (tmp_path / "cache").rglob("*.json")
    assert "first" in entry.read_text() and AnswerCache(answers_folder(victim)).get(key) is None
    assert not list(tmp_path.rglob("*planted*"))


@pytest.mark.parametrize("where", ["localhost", "elsewhere"])
def test_the_results_of_a_batch_come_from_its_own_server(where, tmp_path):
    with Hostile(lambda request, raw: request.send(b"")) as thief:
        url = thief.url if where == "elsewhere" else thief.url.replace("127.0.0.1", "localhost")
        with batches(lambda requests: [], url=url) as server:
            config = settings(server.url, tmp_path, batch=True, key_variable="OWN_KEY")
            (answered,), _ = ask(config, tmp_path)
    assert answered.stopped and not thief.seen and "another host" in answered.error


@pytest.mark.parametrize("batch", ["../../x", "", "a b", "\x1b[31m", "x" * 300, None, 7, ["x"], EVIL])
def test_the_id_of_a_batch_is_one(batch, tmp_path):
    with batches(lambda requests: [], batch=batch) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, batch=True), tmp_path)
    assert answered.stopped and len(server.seen) == 1


@pytest.mark.parametrize("status", ["over", None, 7, EVIL, ["ended"]])
def test_the_state_of_a_batch_is_one(status, tmp_path):
    with batches(lambda requests: [], status=status) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, batch=True), tmp_path)
    assert answered.stopped and "batch" in answered.error


@pytest.mark.parametrize(
    "results",
    [
        lambda own: [],
        lambda own: [succeeded(own, "x" * 100_000)],
        lambda own: [succeeded(own, "a", usage=None)] * 3,
        lambda own: [succeeded(own, "a", content=None)],
        lambda own: [succeeded(own, "a", content=[{"type": "text", "text": 7}])],
        lambda own: [succeeded(own, "a", stop_reason=EVIL)],
        lambda own: [{"custom_id": own, "result": {"type": "succeeded"}}],
        lambda own: [{"custom_id": own, "result": None}],
        lambda own: [{"custom_id": own, "result": {"type": "errored", "error": 7}}],
        lambda own: [{"custom_id": own, "result": {"type": "errored", "error": {"error": {"type": EVIL}}}}],
        lambda own: [{"custom_id": own, "result": {"type": EVIL}}],
        lambda own: [7, [], None, "x"],
        lambda own: b"\n" * 1000,
        lambda own: b"x" * 1_000_000,
        lambda own: b"[" * 100_000 + b"\n",
    ],
)  # fmt: skip
def test_results_that_are_none_end_in_one_line_and_within_the_budget(results, tmp_path):
    with batches(lambda requests: results(requests[0]["custom_id"])) as server:
        config = settings(server.url, tmp_path, batch=True, max_tokens=1, budget=8.0, prices={"tiny": DOLLAR})
        (answered,), account = ask(config, tmp_path)
    if answered.reply is not None:  # the usage alone was missing
        assert answered.reply.dollars == pytest.approx(0.5) and answered.reply.usage.output == 1
    assert account.dollars + account.open_dollars <= 2.0


# --- the cache


def test_a_stored_answer_counts_only_for_its_own_request_and_server(tmp_path):
    with Hostile(lambda request, raw: request.send(says())) as server:
        config = settings(server.url, tmp_path)
        ask(config, tmp_path)
    cache, request = AnswerCache(tmp_path / "cache"), TeacherRequest("s", (("user", "q"),))
    key = request.key(config)
    (path,) = (tmp_path / "cache").rglob("*.json")
    assert cache.get(key).text == "hello"
    good = json.loads(path.read_text())
    for spoil in (
        {"url": "https://api.anthropic.com"}, {"url": None}, {"sample": 1}, {"request": {}}, {"request": None},
        {"reply": {}},
        {"reply": {**good["reply"], "key": "0" * 64}}, {"reply": {**good["reply"], "text": 7}},
        {"reply": {**good["reply"], "dollars": -1}}, {"reply": {**good["reply"], "usage": {"input": math.nan}}},
    ):  # fmt: skip
        path.write_text(json.dumps({**good, **spoil}))
        assert cache.get(key, request.body(config)) is None, spoil
    del good["url"], good["sample"]  # as earlier versions wrote it
    path.write_text(json.dumps(good))
    assert cache.get(key) is None and cache.get(key, request.body(config)).text == "hello"
    assert cache.get(key, {**request.body(config), "max_tokens": 17}) is None
    other = "ab" + key[2:]
    planted = tmp_path / "cache" / "ab" / f"{other}.json"
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(json.dumps({**good, "reply": {**good["reply"], "key": other}}))
    assert cache.get(other) is None
    path.unlink()
    os.mkfifo(path)
    assert cache.get(key) is None, "a pipe is no answer, and is not waited for"
    for name in ("../../etc/passwd", "/etc/passwd", "", key.upper(), key + "\n"):
        assert cache.get(name) is None


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_what_is_kept_is_the_users_own_whatever_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        with batches(lambda requests: [succeeded(r["custom_id"], "a") for r in requests]) as server:
            ask(settings(server.url, tmp_path, batch=True), tmp_path)
    finally:
        os.umask(before)
    made = [*(tmp_path / "cache").rglob("*"), tmp_path / "cache", *(tmp_path / "run").rglob("*"), tmp_path / "run"]
    assert len(made) >= 6 and not [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077]


def test_no_link_is_followed_to_a_file_that_is_written(tmp_path):
    (tmp_path / "precious").write_text("mine\n")
    (tmp_path / LEDGER_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        append_rows(tmp_path / LEDGER_FILE, [{}])
    assert (tmp_path / "precious").read_text() == "mine\n"


# --- its words


def test_its_words_are_text_for_the_log_and_the_console(tmp_path):
    with Hostile(lambda request, raw: request.send(error_body("invalid_request_error", EVIL), 400)) as server:
        (answered,), _ = ask(settings(server.url, tmp_path), tmp_path)
    assert "[/INST]" in answered.error
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200)
    LiveDisplay(3, console).note(EVIL + "\nsecond")
    assert "[/INST][bold]" in shown.getvalue()
    for hidden in ("\x1b[31m", "\x1b]8", "\r", "\u202e", "\x9b"):
        assert hidden not in shown.getvalue()
    log = SimpleNamespace(log_path=tmp_path / "log.txt")
    RunFolder.log(log, EVIL + "\n2026-01-01 00:00:00  forged")
    (line,) = log.log_path.read_text().splitlines()
    assert line.isprintable() and "[/INST]" in line


def test_half_characters_and_control_characters_of_an_answer_can_be_written_down(tmp_path):
    def handle(request, raw):
        request.send(says("a\ud800b\U0001f600" + EVIL))

    with Hostile(handle) as server:
        (answered,), _ = ask(settings(server.url, tmp_path), tmp_path)
    assert answered.reply.text == "a\ufffdb\U0001f600" + EVIL and answered.reply.text.encode()


def test_an_honest_server_is_asked_as_ever(tmp_path):
    text = "def f(x):\r\n    return 'é😀'  # [/INST]"
    with Hostile(lambda request, raw: request.send(says(text, stop_reason="max_tokens"))) as server:
        config = settings(server.url, tmp_path, prices={"tiny": Price(input=1, output=2)}, budget=1.0)
        (first, again), account = ask(config, tmp_path, "q", "q")
    assert first.reply.text == text and first.reply.finish_reason == "length" and again.reply.cached
    assert (first.reply.usage.input, first.reply.usage.output, len(server.seen)) == (11, 7, 1)
    assert account.dollars == pytest.approx((11 + 14) / 1e6)
    assert account.dollars < most(["s", "q"], 16, config.price)


def test_a_refusal_stays_a_refusal(tmp_path):
    with Hostile(lambda request, raw: request.send(flood())) as server:

        async def go():
            teacher = open_teacher(settings(server.url, tmp_path), tmp_path)
            with pytest.raises(RequestRefused, match=r"max_tokens"):
                await teacher.answer(TeacherRequest("s", (("user", "q"),)))
            await teacher.close()

        asyncio.run(go())
