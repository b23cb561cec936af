"""A server of the Messages API that is taken over: money, batches and the cache of answers."""

import json
import math
import os
import stat

import hypothesis
import pytest
from hostile_server import ANTHROPIC, DOLLAR, EVIL, OWN, Hostile, ask, environment, says, settings  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st
from servers import message

from rollout.teacher.booked import LEDGER_FILE
from rollout.teacher.config import TeacherConfig
from rollout.teacher.cost_ledger import Usage, append_rows
from rollout.teacher.opening import open_teacher
from rollout.teacher.request_cache import AnswerCache, TeacherRequest, TeacherStopped, answers_folder

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


@hypothesis.settings(deadline=None, max_examples=50)
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
