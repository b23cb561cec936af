"""A teacher of OpenAI's chat API: the real SDK, a real vLLM server, a front that fails to order, strangers."""

import json
import math

import hypothesis
import pytest
from hostile_server import ANTHROPIC, DOLLAR, EVIL, OWN, Hostile, ask, environment, settings  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from servers import Front, as_chunks, cut_chat, error_body, message

from rollout.teacher.chat_api import ChatChunks
from rollout.teacher.config import Price, TeacherConfig
from rollout.teacher.cost_ledger import Usage, upper_bound
from rollout.teacher.keys import NO_KEY, find_key
from rollout.teacher.request_cache import TeacherRequest, TeacherStopped

PATH = "/v1/chat/completions"
OPENAI = "sk-of-openai-alone"
PRICE = Price(input=1000, output=5000)


@pytest.fixture(autouse=True)
def openai_environment(monkeypatch, environment):  # noqa: F811
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-" + OPENAI)
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-" + OPENAI)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"x-corporate: {OPENAI}")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example")


def chat(url, folder, **more):
    return settings(url, folder, protocol="openai", **more)


def echo(body):
    return message("seen: " + body["messages"][-1]["content"])


def error(text, kind="invalid_request_error", code=None, **more):
    return json.dumps({"error": {"message": text, "type": kind, "param": None, "code": code}, **more}).encode()


def test_an_answer_is_streamed_counted_and_kept(tmp_path):
    with Front(reply=echo) as front:
        config = chat(front.url, tmp_path, prices={"tiny": PRICE}, budget=1.0)
        (first, again), account = ask(config, tmp_path, "q", "q")
    assert first.reply.text == "seen: q" and first.reply.finish_reason == "stop" and again.reply.cached
    assert (first.reply.usage, first.reply.model) == (Usage(11, 7), "tiny")
    assert account.dollars == pytest.approx((11 * 1000 + 7 * 5000) / 1e6) and account.open_dollars == 0
    (body,) = front.asked(PATH)
    assert body["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    assert body["max_tokens"] == 16 and body["stream_options"] == {"include_usage": True}
    assert account.dollars < upper_bound(["s", "q"], 16, PRICE)


def test_a_cut_answer_says_so_and_cached_tokens_are_cheaper(tmp_path):
    chunks = as_chunks(message("x", "max_tokens")).replace(
        b'"total_tokens"', b'"prompt_tokens_details": {"cached_tokens": 4}, "total_tokens"'
    )
    with Hostile(lambda request, raw: request.send(chunks)) as server:
        (answered,), _ = ask(chat(server.url, tmp_path, prices={"tiny": PRICE}), tmp_path)
    assert answered.reply.finish_reason == "length"
    assert answered.reply.usage == Usage(input=7, output=7, cache_read=4)


def test_thinking_that_a_server_sets_apart_is_no_answer(tmp_path):
    chunks = as_chunks(message("x")).replace(b'"content": ""', b'"content": "", "reasoning_content": "hm"')
    with Hostile(lambda request, raw: request.send(chunks)) as server:
        (answered,), _ = ask(chat(server.url, tmp_path), tmp_path)
    assert answered.reply.text == "x"


def test_both_protocols_have_answers_of_their_own(tmp_path):
    with Front(reply=echo) as front:
        (one,), _ = ask(chat(front.url, tmp_path), tmp_path)
        (other,), _ = ask(settings(front.url, tmp_path), tmp_path)
    assert not one.reply.cached and not other.reply.cached and one.reply.key != other.reply.key


# --- retries and refusals


def test_overload_is_waited_out(tmp_path):
    busy = [(429, {"retry-after": "0"}, error("slow down", "requests")), (503, {}, error("down", "server_error")),
            (500, {}, b"oops")]  # fmt: skip
    torn = b'data: {"error": {"message": "later", "type": "server_error", "code": null}}\n\n'
    with Front(reply=echo) as front:
        front.script += [*busy, (200, {"content-type": "text/event-stream"}, torn)]
        (answered,), _ = ask(chat(front.url, tmp_path, patience=20), tmp_path)
    assert answered.reply.text == "seen: q" and len(front.asked(PATH)) == 5


@pytest.mark.parametrize("promised", [None, 10**6])
@pytest.mark.parametrize("chunks", range(3))
def test_an_answer_that_breaks_off_is_asked_again_and_charged(chunks, promised, tmp_path):
    with Front(reply=echo) as front:
        front.script.append(cut_chat(chunks, promised))
        config = chat(front.url, tmp_path, prices={"tiny": PRICE}, budget=10.0, patience=20)
        (answered,), account = ask(config, tmp_path)
    assert answered.reply.text == "seen: q" and len(front.asked(PATH)) == 2
    assert (account.dollars > answered.reply.dollars) == (chunks > 0) and account.open_dollars == pytest.approx(0)


def test_an_answer_whose_server_does_not_count_is_charged_in_full(tmp_path):
    with Hostile(lambda request, raw: request.send(as_chunks(message("x"), usage=False))) as server:
        (answered,), account = ask(chat(server.url, tmp_path, prices={"tiny": DOLLAR}), tmp_path)
    assert answered.reply.text == "x" and account.dollars == pytest.approx(upper_bound(["s", "q"], 16, DOLLAR))


@pytest.mark.parametrize(
    ("status", "body", "fix"),
    [
        (401, error("Incorrect API key provided"), "OWN_KEY"),
        (403, error("no"), "OWN_KEY"),
        (404, error("The model `tiny` does not exist", code="model_not_found"), "has no model tiny"),
        (404, error("The model `tiny` does not exist.", "NotFoundError", 404), "has no model tiny"),
        (429, error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), "no credit"),
        (400, error("Unsupported value: 'temperature' does not support 0.3 with this model."), "teacher.temperature"),
        (400, error("max_tokens is too large: 99. This model supports at most 9 completion tokens"), "max_tokens"),
    ],
)
def test_what_no_request_would_pass_stops_at_the_first(status, body, fix, tmp_path):
    handle = lambda request, raw: request.send(body, status, content_type="application/json")  # noqa: E731
    with Hostile(handle) as server:
        found, account = ask(chat(server.url, tmp_path, key_variable="OWN_KEY"), tmp_path, *"abc")
    assert all(answered.stopped and fix in answered.error for answered in found) and len(server.seen) == 1
    assert account.open_dollars == 0


def test_a_request_that_is_refused_for_what_it_says_stops_no_other(tmp_path):
    with Front(reply=echo) as front:
        front.script.append((400, {}, error("This model's maximum context length is 8 tokens", code=400)))
        (first, second), _ = ask(chat(front.url, tmp_path), tmp_path, "a", "b")
    assert first.error and not first.stopped and second.reply.text == "seen: b"


# --- the other protocol


def only(path, answer, missing=b'{"detail": "Not Found"}'):
    """A server that has one path: an empty request is refused there."""

    def handle(request, raw):
        if request.path.partition("?")[0] != path:
            return request.send(missing, 404, content_type="application/json")
        if "model" not in json.loads(raw):
            return request.send(error("no model is named"), 400, content_type="application/json")
        return request.send(answer)

    return Hostile(handle)


@pytest.mark.parametrize("suffix", ["", "/v1", "/v1/"])
def test_a_server_of_the_other_protocol_is_named(suffix, tmp_path):
    with only(PATH, as_chunks(message("x"))) as server:
        (found,), _ = ask(settings(server.url + suffix, tmp_path), tmp_path)
        (right,), _ = ask(chat(server.url + suffix, tmp_path), tmp_path)
    assert "speaks OpenAI's chat API, not Anthropic's Messages API: set teacher.protocol openai" in found.error
    assert found.stopped and right.reply.text == "x"
    with only("/v1/messages", b"") as server:
        (found,), _ = ask(chat(server.url + suffix, tmp_path), tmp_path)
    assert "speaks Anthropic's Messages API, not OpenAI's chat API: set teacher.protocol anthropic" in found.error


def test_a_server_of_neither_is_named(tmp_path):
    with only("/", b"") as server:
        for config in (settings(server.url, tmp_path), chat(server.url, tmp_path)):
            (found,), _ = ask(config, tmp_path)
            assert found.stopped and "serves neither" in found.error and "teacher.base_url" in found.error


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"base_url": "https://api.openai.com/v1"}, "set teacher.protocol openai"),
        ({"temperature": 1.5}, "temperature of 0 to 1"),
        ({"protocol": "openai", "temperature": 2.5}, "temperature"),
        ({"protocol": "openai", "base_url": "http://127.0.0.1:1", "budget": 1.0}, "count as free"),
        ({"model": "reference", "protocol": "openai"}, "no effect"),
    ],
)
def test_settings_that_the_protocol_does_not_take_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        TeacherConfig(**{"model": "m", **given})


def test_an_address_without_a_path_gets_one():
    urls = ("", "http://h:1", "http://h:1/", "http://h:1/v1/", "https://g.example/v1beta/openai/")
    assert [TeacherConfig(model="m", protocol="openai", base_url=url).url for url in urls] == [
        "https://api.openai.com/v1", "http://h:1/v1", "http://h:1/v1", "http://h:1/v1", "https://g.example/v1beta/openai",
    ]  # fmt: skip


def test_prices_of_openai_hold_for_whole_names_and_their_dates():
    def price(model):
        return TeacherConfig(model=model, protocol="openai").price.output

    assert price("gpt-5") == price("gpt-5-2025-08-07") == 10 and price("gpt-4.1-mini-2025-04-14") == 1.6
    for unknown in ("gpt-5-pro", "gpt-9", "claude-haiku-4-5"):
        with pytest.raises(ValueError, match=r"teacher\.prices"):
            price(unknown)


def test_openai_is_asked_by_the_name_that_all_its_models_know():
    request = TeacherRequest("s", (("user", "q"),))
    assert request.body(TeacherConfig(model="gpt-5", protocol="openai"))["max_completion_tokens"] == 4096


# --- keys


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("", OPENAI),
        ("https://api.openai.com/v1", OPENAI),
        ("https://API.openai.com:443/v1", OPENAI),
        ("https://api.anthropic.com/v1", ANTHROPIC),
        ("http://api.openai.com/v1", None),
        ("https://api.openai.com:8443/v1", None),
        ("https://api.openai.com.evil.example/v1", None),
        ("https://evil.example/api.openai.com", None),
        ("http://127.0.0.1:8000/v1", None),
    ],
)
def test_each_key_is_found_for_its_own_host_alone(url, key):
    config = TeacherConfig(model="m", protocol="openai", base_url=url)
    assert find_key(config) == (SecretStr(key) if key else NO_KEY)


def test_openais_key_goes_elsewhere_only_by_its_name_and_anthropics_never():
    elsewhere = {"model": "m", "protocol": "openai", "base_url": "https://server.example/v1"}
    assert find_key(TeacherConfig(**elsewhere, key_variable="OPENAI_API_KEY")) == SecretStr(OPENAI)
    with pytest.raises(ValueError, match="Anthropic's own host"):
        TeacherConfig(**elsewhere, key_variable="ANTHROPIC_API_KEY")


def test_without_a_key_nothing_begins(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(TeacherStopped, match=r"OPENAI_API_KEY.*\.env.*reference"):
        find_key(TeacherConfig(model="gpt-5", protocol="openai"))


@pytest.mark.parametrize("own", [False, True])
def test_a_server_gets_its_own_key_or_none_and_nothing_else_of_the_environment(own, tmp_path):
    with Front(reply=echo) as front:
        ask(chat(front.url, tmp_path, **({"key_variable": "OWN_KEY"} if own else {})), tmp_path)
    sent = json.dumps(front.seen[0][3])
    assert OPENAI not in sent and ANTHROPIC not in sent and "x-corporate" not in sent and (OWN in sent) == own


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_to_another_server_is_followed(status, tmp_path):
    with Front(reply=echo) as thief:
        where = f"http://localhost:{thief.server_port}{PATH}"
        with Hostile(lambda request, raw: request.send(b"", status, location=where)) as server:
            (answered,), _ = ask(chat(server.url, tmp_path, key_variable="OWN_KEY"), tmp_path)
    assert not thief.seen and answered.stopped and "teacher.base_url" in answered.error


@pytest.mark.parametrize("where", ["error", "text", "model"])
def test_a_key_that_is_echoed_is_kept_nowhere(where, tmp_path):
    def handle(request, raw):
        key = request.headers["authorization"].removeprefix("Bearer ")
        if where == "error":
            return request.send(error_body("invalid_request_error", "x" * 280 + " " + key * 3), 400)
        return request.send(as_chunks(message(key if where == "text" else "x", model=key)))

    with Hostile(handle) as server:
        (answered,), _ = ask(chat(server.url, tmp_path, key_variable="OWN_KEY"), tmp_path)
    assert OWN[:8] not in answered.error + (answered.reply.text if answered.reply else "")


# --- strangers


def chunk(**more):
    base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
    return f"data: {json.dumps({**base, **more})}\n\n".encode()


TEXT = chunk(choices=[{"index": 0, "delta": {"content": "x" * 65536}, "finish_reason": None}])


@pytest.mark.parametrize(
    "attack",
    [
        lambda r: r.send(TEXT * 512),
        lambda r: r.send(as_chunks(message("x" * 20_000))),
        lambda r: r.send(chunk(choices=[{"index": 1, "delta": {"content": "x"}, "finish_reason": None}]) * 50_000),
        lambda r: r.send(as_chunks(message("x")).replace(b'"content": ""', b'"reasoning": "%s"' % (b"y" * 20_000))),
        lambda r: r.send(chunk(choices=[]) * 50_000),
        lambda r: r.send(b"event: ping\n" * 100_000),
        lambda r: r.send(b"data: " + b"x" * 1_000_000),
        lambda r: r.send(b"data: " + b"[" * 200_000 + b"\n\n"),
        lambda r: r.send(b"data: " + b"1" * 200_000 + b"\n\n"),
        lambda r: r.send(b"data: [DONE]\n\n"),
        lambda r: r.send(b"data: 7\n\n"),
        lambda r: r.send(b'data: ["type"]\n\n'),
        lambda r: r.send(b'data: {"error": 7}\n\n'),
        lambda r: r.send(chunk()),
        lambda r: r.send(chunk(choices=7)),
        lambda r: r.send(chunk(choices=[7])),
        lambda r: r.send(chunk(choices=[{"index": 0, "delta": {"content": "x"}, "finish_reason": None}])),
        lambda r: r.send(chunk(choices=[{"index": 0, "delta": {"content": 7}, "finish_reason": "stop"}])),
        lambda r: r.send(as_chunks(message("x", stop_reason=EVIL))),
        lambda r: r.send(as_chunks(message("x", stop_reason=7))),
        lambda r: r.send(b"x" * (1 << 24), 400),
        lambda r: r.send(error(EVIL * 5000), 400),
        lambda r: r.send(json.dumps({"choices": [{"message": {"content": "not streamed"}}]}).encode()),
    ],
)  # fmt: skip
def test_no_answer_takes_more_than_its_bound(attack, tmp_path):
    with Hostile(lambda request, raw: attack(request)) as server:
        (answered,), _ = ask(chat(server.url, tmp_path, patience=0.1, timeout=1.0), tmp_path)
    assert answered.reply is None and answered.error
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1 << 16


def test_an_answer_that_never_ends_is_ended_and_what_follows_a_whole_one_not_waited_for(tmp_path):
    with Hostile(lambda request, raw: request.drip(TEXT[:100], b" ")) as server:
        (answered,), _ = ask(chat(server.url, tmp_path, patience=0.1, timeout=0.4), tmp_path)
    assert answered.stopped and "teacher.timeout" in answered.error
    with Hostile(lambda request, raw: request.drip(as_chunks(message("x")), b": ping\n\n")) as server:
        (answered,), _ = ask(chat(server.url, tmp_path, timeout=60), tmp_path)
    assert answered.reply.text == "x"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["x", "stop", EVIL]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "delta", "content", "index", "finish_reason", "usage", "prompt_tokens", "model",
                         "completion_tokens", "prompt_tokens_details", "cached_tokens", "reasoning"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@hypothesis.settings(deadline=None, max_examples=200)
@given(st.lists(ANYTHING, max_size=4))
def test_whatever_the_chunks_hold_an_answer_is_whole_or_broken(chunks):
    from openai._models import construct_type
    from openai.types.chat import ChatCompletionChunk

    from rollout.teacher.errors import TORN, AnswerTooLarge, BrokenAnswer

    bound = Usage(output=16, cache_write=100)
    incoming = ChatChunks(bound)
    try:
        for found in chunks:
            incoming.take(construct_type(type_=ChatCompletionChunk, value=found))
        whole = incoming.message()
    except (*TORN, BrokenAnswer, AnswerTooLarge):
        return
    assert isinstance(whole.text, str) and whole.usage.output <= 16 and whole.usage.input < 10_000


COUNTS = [-1, 10**30, math.inf, None, "7", True, 1.5, [], {}]


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "cached_tokens"])
def test_a_budget_holds_whatever_is_counted(name, tmp_path):
    turn = iter(COUNTS * 2)

    def handle(request, raw):
        counts = {"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 0, name: next(turn)}
        usage = {**counts, "prompt_tokens_details": {"cached_tokens": counts.pop("cached_tokens")}}
        whole = as_chunks(message("x"), usage=False).removesuffix(b"data: [DONE]\n\n")
        return request.send(whole + chunk(choices=[], usage=usage).replace(b"Infinity", b"1e999"))

    with Hostile(handle) as server:
        config = chat(server.url, tmp_path, max_tokens=1, budget=4.0, prices={"tiny": DOLLAR}, patience=0)
        found, account = ask(config, tmp_path, *map(str, range(len(COUNTS))))
    assert len(server.seen) <= 4 and account.dollars + account.open_dollars <= 4.0 + 1e-9
    assert found[-1].stopped and "budget" in found[-1].error


# --- the real server


def test_a_real_server_is_asked_by_the_real_sdk(messages_url, tmp_path, monkeypatch):
    from servers import SECRET

    monkeypatch.setenv("OWN_KEY", SECRET)
    own = {"key_variable": "OWN_KEY", "timeout": 120.0}
    config = chat(messages_url, tmp_path, prices={"tiny": PRICE}, budget=100.0, **own)
    (first, again, long), account = ask(config, tmp_path, "Reverse.", "Reverse.", "word " * 9000, seconds=300)
    assert first.reply.text and first.reply.model == "tiny" and again.reply.cached
    assert 5 < first.reply.usage.input < 50 and 0 < first.reply.usage.output <= 16
    assert account.usage == first.reply.usage and account.open_dollars == 0
    assert long.reply is None and not long.stopped and "400" in long.error
    (cut_off,), _ = ask(chat(messages_url, tmp_path, max_tokens=1, **own), tmp_path, seconds=300)
    assert cut_off.reply.finish_reason == "length"
    (missing,), _ = ask(chat(messages_url, tmp_path).model_copy(update={**own, "model": "huge"}), tmp_path, seconds=300)
    assert missing.stopped and "no model huge" in missing.error
    (refused,), _ = ask(chat(messages_url, tmp_path), tmp_path, seconds=300)
    assert refused.stopped and "teacher.key_variable" in refused.error
