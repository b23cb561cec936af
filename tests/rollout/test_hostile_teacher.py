"""A server of the Messages API that is taken over: keys, bytes, time and words. It gets and does nothing."""

import asyncio
import gzip
import io
import json
import time

import pytest
from hostile_server import ANTHROPIC, DOLLAR, EVIL, OWN, Hostile, ask, environment, says, settings  # noqa: F401
from pydantic import SecretStr
from rich.console import Console
from servers import error_body

from pipelines.artifacts.log_file import LogFile
from pipelines.display import LiveDisplay
from rollout.teacher.config import Price, TeacherConfig
from rollout.teacher.cost_ledger import upper_bound
from rollout.teacher.keys import NO_KEY, find_key
from rollout.teacher.opening import open_teacher
from rollout.teacher.request_cache import RequestRefused, TeacherRequest, TeacherStopped

# --- keys


@pytest.mark.parametrize("own", [False, True])
def test_a_server_gets_its_own_key_or_none_and_nothing_else_of_the_environment(own, tmp_path):
    with Hostile(lambda request, raw: request.send(says())) as server:
        ask(settings(server.url, tmp_path, **({"key_variable": "OWN_KEY"} if own else {})), tmp_path)
    sent = json.dumps(server.seen[0][2])
    assert ANTHROPIC not in sent and "x-corporate" not in sent and (OWN in sent) == own


def test_even_a_key_that_is_handed_over_stays_with_anthropic(tmp_path):
    async def go(url):
        teacher = open_teacher(settings(url, tmp_path), tmp_path / "run", [SecretStr(ANTHROPIC)])
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
        (answered,), _ = ask(settings(server.url, tmp_path, patience=0.1, timeout=0.4), tmp_path)
    assert answered.stopped and "teacher.timeout" in answered.error


def test_what_follows_a_whole_answer_is_not_waited_for(tmp_path):
    with Hostile(lambda request, raw: request.drip(says(), b"event: ping\ndata: {}\n\n")) as server:
        (answered,), _ = ask(settings(server.url, tmp_path, timeout=60), tmp_path)
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
        (answered,), _ = ask(settings(server.url, tmp_path, patience=0.1, timeout=0.4), tmp_path)
    assert answered.stopped


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
    log = LogFile(tmp_path / "log.txt")
    log(EVIL + "\n2026-01-01 00:00:00  forged")
    (line,) = log.path.read_text().splitlines()
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
    assert account.dollars < upper_bound(["s", "q"], 16, config.price)


def test_a_refusal_stays_a_refusal(tmp_path):
    with Hostile(lambda request, raw: request.send(flood())) as server:

        async def go():
            teacher = open_teacher(settings(server.url, tmp_path), tmp_path)
            with pytest.raises(RequestRefused, match=r"max_tokens"):
                await teacher.answer(TeacherRequest("s", (("user", "q"),)))
            await teacher.close()

        asyncio.run(go())
