"""The teacher: the real SDK against a real vLLM server, and against a front that fails to order."""

import asyncio
import json
import time
from dataclasses import asdict

import pytest
from servers import SECRET, Front, busy, cut, error_body, message
from shared_folder import cases

from rollout.teacher.booked import LEDGER_FILE
from rollout.teacher.client import answer_all
from rollout.teacher.config import Price, TeacherConfig
from rollout.teacher.cost_ledger import BudgetSpent, CostLedger, Usage, upper_bound
from rollout.teacher.keys import find_key
from rollout.teacher.opening import open_teacher
from rollout.teacher.request_cache import RequestRefused, TeacherRequest, TeacherStopped

PRICE = Price(input=1000, output=5000)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-anthropic-alone")
    monkeypatch.setenv("TEACHER_KEY", SECRET)


@pytest.fixture
def make(tmp_path):
    """`make(url, **settings)` is a teacher of its own ledger and the test's cache; `make.notes` is what it told."""
    made = []

    def make(url, folder="run", **settings):
        settings = {
            "model": "tiny",
            "key_variable": "TEACHER_KEY",
            "max_tokens": 16,
            "backoff": 0.05,
            "sdk_retries": 0,
            "poll_seconds": 0.05,
        } | settings
        config = TeacherConfig(base_url=url, cache=tmp_path / "cache", **settings)
        teacher = open_teacher(config, tmp_path / folder, run=folder, note=make.notes.append)
        made.append(teacher)
        return teacher

    make.notes = []
    return make


def ask(text, sample=0):
    return TeacherRequest("You teach.", (("user", text),), sample)


def run(work):
    async def bounded():
        return await asyncio.wait_for(work, 120)

    return asyncio.run(bounded())


async def all_of(teacher, requests):
    """Answers in the order of the requests, then the connection closed."""
    found = [answered async for answered in answer_all(teacher, requests)]
    await teacher.close()
    return sorted(found, key=lambda answered: answered.index)


def answers(teacher, *texts):
    return run(all_of(teacher, [ask(text) for text in texts]))


def echo(body):
    return message("seen: " + body["messages"][-1]["content"])


# --- against the real server


def test_a_real_server_streams_an_answer(make, messages_url):
    teacher = make(messages_url)
    (answered,) = answers(teacher, "Reverse a string.")
    reply = answered.reply
    assert reply.text and reply.model == "tiny" and not reply.cached
    assert reply.usage.input > 10 and 0 < reply.usage.output <= 16
    assert teacher.account().requests == 1 and teacher.account().usage == reply.usage


def test_an_answer_cut_by_max_tokens_says_so(make, messages_url):
    (answered,) = answers(make(messages_url, max_tokens=1), "Reverse a string.")
    assert answered.reply.finish_reason == "length" and answered.reply.stop_reason == "max_tokens"


def test_what_one_request_did_wrong_does_not_stop_the_others(make, messages_url):
    teacher = make(messages_url)
    long, short = answers(teacher, "word " * 9000, "Reverse a string.")
    assert long.reply is None and not long.stopped and "400" in long.error
    assert short.reply.text
    assert teacher.account().open_dollars == 0


def test_a_model_that_the_server_lacks_ends_the_run(make, messages_url):
    (answered,) = answers(make(messages_url, model="huge"), "Reverse a string.")
    assert answered.stopped and "no model huge" in answered.error and "teacher.model" in answered.error


def test_overload_is_waited_out_before_the_real_answer(make, messages_url):
    with Front(messages_url) as front:
        front.script += [busy(529), busy(429, "rate_limit_error", retry_after="1"), busy(503, "api_error")]
        (answered,) = answers(make(front.url), "Reverse a string.")
    assert answered.reply.text and len(front.asked()) == 4
    assert [note[:30] for note in make.notes] == [
        "the teacher fails (529: no, ov",
        "the teacher fails (429: no, ra",
        "the teacher fails (503: no, ap",
    ]


def test_the_same_question_is_paid_once(make, messages_url):
    with Front(messages_url) as front:
        twice = answers(make(front.url), "Reverse a string.", "Reverse a string.")
        elsewhere = make(front.url, folder="another run")
        (later,) = answers(elsewhere, "Reverse a string.")
    assert len(front.asked()) == 1
    assert twice[0].reply.text == twice[1].reply.text == later.reply.text and later.reply.cached
    assert elsewhere.account().requests == 0, "another run's answer costs this one nothing"


def test_samples_and_parameters_are_questions_of_their_own(make):
    with Front(reply=echo) as front:
        run(all_of(make(front.url), [ask("x"), ask("x", 1)]))
        answers(make(front.url, temperature=0.7), "x")
    assert len(front.asked()) == 3


def test_a_budget_stops_before_it_is_exceeded(make, messages_url):
    # More questions than the budget pays for, however short the answers are; each is far below its upper bound.
    questions = [f"Reverse string number {n}." for n in range(32)]
    largest = upper_bound(["You teach.", questions[-1]], 16, PRICE)
    budget = 2 * largest
    teacher = make(messages_url, prices={"tiny": PRICE}, budget=budget)
    found = answers(teacher, *questions)
    account = teacher.account()
    assert 2 <= account.requests < len(questions) and account.open_dollars == pytest.approx(0)
    assert 0 < account.dollars <= budget < account.dollars + largest
    assert all(a.stopped and "--resume" not in a.error and "teacher.budget" in a.error for a in found if not a.reply)

    more = make(messages_url, prices={"tiny": PRICE}, budget=100.0)
    assert all(a.reply for a in answers(more, *questions))
    assert more.account().requests == len(questions), "what the first session paid is in the same ledger"
    # A server may count its own cache's tokens otherwise for the same text, so only the books are compared.
    paid = [json.loads(line) for line in more.ledger.path.read_text().splitlines()]
    assert sum(row["dollars"] for row in paid if row["event"] == "paid") == pytest.approx(more.account().dollars)


def test_many_requests_share_one_beginning_and_the_first_goes_alone(make):
    lone = []

    def reply(body):
        lone.append(front.in_flight)
        time.sleep(0.05)  # long enough for others to come meanwhile
        return echo(body)

    with Front(reply=reply) as front:
        answers(make(front.url, concurrency=4), *map(str, range(20)))
    assert lone[0] == 1 and 1 < front.most_in_flight <= 4
    systems = {json.dumps(body["system"]) for body in front.asked()}
    assert len(systems) == 1 and "ephemeral" in systems.pop()


# --- keys


def test_without_a_key_nothing_begins(make, monkeypatch, tmp_path):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    config = TeacherConfig(model="claude-sonnet-4-5", env_file=tmp_path / ".env")
    with pytest.raises(TeacherStopped, match=r"ANTHROPIC_API_KEY.*\.env.*reference"):
        find_key(config)
    (tmp_path / ".env").write_text(f"ANTHROPIC_API_KEY={SECRET}\n")
    assert find_key(config).get_secret_value() == SECRET
    assert SECRET not in repr(find_key(config))


def test_a_refused_key_ends_the_run_at_once_and_is_never_told(make, tmp_path):
    with Front(reply=echo) as front:
        front.script += [busy(401, "authentication_error")] * 3
        front.script[0] = (
            401,
            {},
            json.dumps({"error": {"type": "authentication_error", "message": f"bad {SECRET}"}}).encode(),
        )
        found = answers(make(front.url, concurrency=1), *"abcdef")
        assert all(a.stopped and "TEACHER_KEY" in a.error for a in found)
        assert len(front.asked()) == 1
        assert SECRET in front.seen[0][3]["authorization"]
        front.script.clear()
        assert answers(make(front.url), "a")[0].reply
    told = "".join(a.error for a in found) + "".join(make.notes)
    told += "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET not in told and "***" in told


def test_a_real_server_refuses_a_key_that_is_not_its_own(make, messages_url, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "sk-another")
    (answered,) = answers(make(messages_url), "a")
    assert answered.stopped and "refuses the API key in TEACHER_KEY" in answered.error


# --- a teacher that is down


def test_a_teacher_that_stays_down_ends_the_run_and_nothing_is_lost(make):
    with Front(reply=echo) as front:
        assert answers(make(front.url), "a")[0].reply
        front.script += [busy(529)] * 1000
        found = answers(make(front.url, patience=0.4), "a", "b", "c")
        assert found[0].reply.cached and found[1].stopped and "--resume" in found[1].error and "529" in found[1].error
        front.script.clear()
        resumed = answers(make(front.url), "a", "b", "c")
    assert [a.reply.text for a in resumed] == ["seen: a", "seen: b", "seen: c"]
    assert front.asked().count(front.asked()[0]) == 1


def test_a_server_that_is_not_there_may_have_been_paid(make):
    teacher = make("http://127.0.0.1:9", patience=0.3, prices={"tiny": PRICE})
    (answered,) = answers(teacher, "a")
    assert answered.stopped and "did not answer" in answered.error
    assert teacher.account().open_dollars == pytest.approx(upper_bound(["You teach.", "a"], 16, PRICE))


def test_a_stream_that_breaks_off_is_asked_again(make):
    with Front(reply=echo) as front:
        torn = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "later"}}\n\n'
        front.script.append((200, {"content-type": "text/event-stream"}, torn))
        (answered,) = answers(make(front.url), "a")
    assert answered.reply.text == "seen: a" and len(front.asked()) == 2


@pytest.mark.parametrize("case", cases("teacher"))
def test_a_case_from_practice(case, make):
    if case["id"] == "teacher-01":
        with Front(reply=echo) as front:
            front.script.append(cut(4))
            assert answers(make(front.url), "a")[0].reply.text == "seen: a"
            later = answers(make(front.url, "later"), "a")[0].reply
        assert later.cached and later.text == "seen: a" and len(front.asked()) == 2
    elif case["id"] == "teacher-02":
        with Front(reply=echo) as front:
            front.script += [invalid("`temperature` is not supported for this model")] * 3
            found = answers(make(front.url, concurrency=1), *"abc")
        assert all(a.stopped and "teacher.temperature to null" in a.error for a in found) and len(front.asked()) == 1
    else:
        with Front(reply=echo, polls=1) as front:
            front.cut_results = [1]
            found = answers(make(front.url, batch=True), *"abc")
        assert [a.reply.text for a in found] == ["seen: a", "seen: b", "seen: c"]


def invalid(text, status=400):
    return status, {}, error_body("invalid_request_error", text)


def test_an_answer_that_never_comes_whole_is_not_kept(make):
    with Front(reply=echo) as front:
        front.script += [cut(4)] * 200
        (answered,) = answers(make(front.url, patience=0.3), "a")
        assert answered.stopped and "broke off" in answered.error and "--resume" in answered.error
        front.script.clear()
        assert answers(make(front.url, "later"), "a")[0].reply.text == "seen: a"


@pytest.mark.parametrize("promised", [None, 10**6])
@pytest.mark.parametrize("events", range(6))
def test_an_answer_is_asked_again_wherever_it_breaks_off(events, promised, make):
    with Front(reply=echo) as front:
        front.script.append(cut(events, promised))
        teacher = make(front.url, prices={"tiny": PRICE}, budget=10.0)
        (answered,) = answers(teacher, "a")
    assert answered.reply.text == "seen: a" and not answered.reply.cached and len(front.asked()) == 2
    account = teacher.account()
    assert account.requests == 1 and account.open_dollars == pytest.approx(0)
    assert (account.dollars > answered.reply.dollars) == (events > 0), "what came of the first is paid for too"
    again = CostLedger(teacher.ledger.path).account()
    assert (again.requests, again.dollars) == (1, pytest.approx(account.dollars))


def test_torn_and_silent_streams_are_asked_again(make):
    with Front(reply=echo) as front:
        status, headers, whole = cut(6)
        front.script += [
            (status, headers, whole[: len(whole) // 2]),
            (status, headers, b"event: content_block_stop\ndata: {\n\n"),
            (200, {"content-type": "text/html"}, b"<html>a proxy</html>"),
            cut(3, 10**6, stall=1.5),
        ]
        (answered,) = answers(make(front.url, timeout=0.5), "a")
    assert answered.reply.text == "seen: a" and len(front.asked()) == 5


def test_tries_that_break_off_do_not_exceed_the_budget(make):
    one = upper_bound(["You teach.", "a"], 16, PRICE)
    with Front(reply=echo) as front:
        front.script += [cut(4)] * 100
        teacher = make(front.url, prices={"tiny": PRICE}, budget=1.5 * one)
        (answered,) = answers(teacher, "a")
    assert answered.stopped and "budget" in answered.error
    assert 0 < teacher.account().dollars <= 1.5 * one and teacher.account().open_dollars == pytest.approx(0)


def test_an_answer_without_its_end_in_an_older_cache_is_asked_for_again(make, tmp_path):
    with Front(reply=echo) as front:
        answers(make(front.url), "a")
        (stored,) = (tmp_path / "cache").rglob("*.json")
        for spoiled in (stored.read_text().replace('"end_turn"', '"None"'), "{"):
            stored.write_text(spoiled)
            assert not answers(make(front.url, "later"), "a")[0].reply.cached
    assert len(front.asked()) == 3


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("`temperature` may only be set to 1 when thinking is enabled", "teacher.temperature"),
        ("temperature: Extra inputs are not permitted", "teacher.temperature"),
        ("Sampling parameters are not supported by this model", "teacher.temperature"),
        (
            "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens for tiny",
            "teacher.max_tokens",
        ),
        ("`top_p` and `top_k` must be given", "teacher.model"),
        ("thinking: this model wants a budget", "teacher.model"),
        ("system: prompt caching is not available", "teacher.model"),
        ("model: tiny is not supported by this endpoint", "teacher.model"),
        ("unknown model tiny", "teacher.model"),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_setting_that_the_model_refuses_stops_at_the_first(status, text, fix, make):
    with Front(reply=echo) as front:
        front.script += [invalid(text, status)] * 3
        teacher = make(front.url, concurrency=1)
        found = answers(teacher, *"abc")
    assert all(a.stopped and fix in a.error and "\n" not in a.error for a in found) and len(front.asked()) == 1
    assert teacher.account().open_dollars == 0


@pytest.mark.parametrize(
    "text",
    [
        "prompt is too long: 212000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000, decrease input length",
        "'max_tokens' is too large: 16. The model's context length is 4096 tokens, with 4090 input tokens",
        "max_tokens must be at least 1, got -12",
        "messages.0.content: text content blocks must be non-empty",
        "Output blocked by content filtering policy",
        "Your request was flagged by our safety system",
    ],
)
def test_a_request_that_is_refused_for_what_it_says_stops_no_other(text, make):
    with Front(reply=echo) as front:
        front.script.append(invalid(text))
        first, second = answers(make(front.url, concurrency=1), "a", "b")
    assert first.error and not first.stopped and second.reply.text == "seen: b"


@pytest.mark.parametrize(
    ("answer", "fix"),
    [
        (busy(401, "authentication_error"), "TEACHER_KEY"),
        (busy(403, "permission_error"), "TEACHER_KEY"),
        (busy(404, "not_found_error"), "teacher.model"),
        (busy(402, "billing_error"), "credit"),
    ],
)
def test_what_no_request_would_pass_stops_at_the_first_by_batches_too(answer, fix, make):
    for batch in (False, True):
        with Front(reply=echo) as front:
            front.script += [answer] * 3
            found = answers(make(front.url, str(batch), batch=batch, concurrency=1), *"abc")
        assert all(a.stopped and fix in a.error for a in found) and len(front.seen) == 1


@pytest.mark.parametrize("lines", [[0], [1, 2], [2, 1, 0]])
@pytest.mark.parametrize("clean", [False, True])
def test_the_results_of_a_batch_are_read_until_they_are_whole(lines, clean, make):
    with Front(reply=echo, polls=1) as front:
        front.cut_results, front.cut_cleanly = list(lines), clean
        teacher = make(front.url, batch=True, prices={"tiny": PRICE})
        found = answers(teacher, *"abc")
    assert [a.reply.text for a in found] == ["seen: a", "seen: b", "seen: c"]
    bodies = front.asked("/v1/messages/batches")
    given_up = clean and len(lines) == 3
    assert [len(body["requests"]) for body in bodies] == ([3, 1] if given_up else [3])
    assert teacher.account().requests == 3 and teacher.account().open_dollars == pytest.approx(0)


def test_a_setting_that_is_refused_in_a_batch_stops_the_run(make):
    fault = {"type": "invalid_request_error", "message": "`temperature` is not supported for this model"}
    errored = {"type": "errored", "error": {"type": "error", "error": fault}}
    with Front(reply=echo, polls=1) as front:
        front.results = {text: [errored] for text in "ab"}
        found = answers(make(front.url, batch=True), "a", "b")
    assert all(a.stopped and "teacher.temperature to null" in a.error for a in found)


# --- the ledger


def test_costs_follow_the_price_table():
    usage = Usage(input=1_000_000, output=2_000_000, cache_write=400_000, cache_read=10_000_000)
    assert usage.cost(Price(input=3, output=15)) == pytest.approx(3 + 30 + 1.5 + 3)
    assert usage.cost(Price(input=3, output=15), batch=True) == pytest.approx(37.5 / 2)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "x", "budget": 0.0}, "buys nothing"),
        ({"budget": 1.0}, "no effect"),
        ({"batch": True}, "no effect"),
        ({"model": "x", "thought": "brief"}, "reference teacher"),
        ({"model": "x", "budgett": 1}, "budgett"),
    ],
)
def test_settings_without_effect_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        TeacherConfig(**settings)


def test_prices_are_found_by_the_longest_beginning():
    assert TeacherConfig(model="claude-opus-5-5").price.output == 20
    assert TeacherConfig(model="claude-opus-5-20260101").price.output == 25
    assert TeacherConfig(model="mine", base_url="http://x").price.output == 0
    assert TeacherConfig(model="mine", prices={"mi": PRICE}).price == PRICE
    with pytest.raises(ValueError, match=r"teacher\.prices"):
        _ = TeacherConfig(model="mine").price


def test_what_was_in_flight_when_a_run_was_killed_counts_at_its_dearest(tmp_path):
    async def killed():
        ledger = CostLedger(tmp_path / LEDGER_FILE, budget=1.0)
        await ledger.reserve("a", 0.4)
        await ledger.reserve("b", 0.4)
        await ledger.settle("a", Usage(1, 2), 0.1)

    run(killed())
    with open(tmp_path / LEDGER_FILE, "a") as file:
        file.write('{"event": "paid", "ke')  # torn by the kill

    async def resumed():
        ledger = CostLedger(tmp_path / LEDGER_FILE, budget=1.0)
        assert (ledger.account().dollars, ledger.account().open_dollars) == (0.1, 0.4)
        with pytest.raises(BudgetSpent, match=r"budget of \$1\.0000"):
            await ledger.reserve("c", 0.6)
        await ledger.reserve("c", 0.5)
        await ledger.settle("c", Usage(1, 2), 0.5)
        return ledger

    run(resumed())
    account = CostLedger(tmp_path / LEDGER_FILE).account()
    assert (account.requests, account.dollars, account.open_dollars) == (2, pytest.approx(0.6), 0.4)


def test_an_answer_stored_but_not_booked_is_booked_on_resume(make):
    with Front(reply=echo) as front:
        first = make(front.url, prices={"tiny": PRICE})
        answers(first, "a")
        rows = first.ledger.path.read_text().splitlines()
        first.ledger.path.write_text(rows[0] + "\n")  # as a kill between storing and booking leaves it
        again = make(front.url, prices={"tiny": PRICE})
        assert answers(again, "a")[0].reply.cached
    assert len(front.asked()) == 1
    assert again.account().dollars == first.account().dollars > 0 and again.account().open_dollars == 0


def test_a_request_waits_for_room_that_others_may_leave(tmp_path):
    async def both():
        ledger = CostLedger(tmp_path / LEDGER_FILE, budget=1.0)
        await ledger.reserve("a", 0.9)
        waiting = asyncio.ensure_future(ledger.reserve("b", 0.9))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await ledger.settle("a", Usage(), 0.05)
        await waiting

    run(both())


# --- Message Batches


def test_a_batch_is_answered_at_half_the_price(make, messages_url):
    with Front(messages_url) as front:
        plain = make(front.url, folder="plain", prices={"tiny": PRICE}, max_tokens=1)
        answers(plain, "Reverse a string, please.")
        teacher = make(front.url, folder="batch", prices={"tiny": PRICE}, max_tokens=1, batch=True)
        found = answers(teacher, *(f"Reverse string {n}, please." for n in range(5)))
    assert len(front.asked("/v1/messages/batches")) == 1
    assert all(a.reply.text is not None and a.reply.batch for a in found)
    assert teacher.account().requests == 5
    for answered in found:
        assert answered.reply.dollars == pytest.approx(answered.reply.usage.cost(PRICE) / 2)


def test_a_run_that_dies_waits_for_the_batch_it_had_handed_in(make):
    with Front(reply=echo, polls=10**6) as front:

        async def killed():
            teacher = make(front.url, batch=True)
            work = asyncio.ensure_future(all_of(teacher, [ask("a"), ask("b")]))
            while not front.batches:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            work.cancel()

        run(killed())
        front.batches["msgbatch_1"]["left"] = front.polls = 1
        teacher = make(front.url, batch=True)
        found = answers(teacher, "a", "b", "c")
    assert [a.reply.text for a in found[:2]] == ["seen: a", "seen: b"]
    bodies = front.asked("/v1/messages/batches")
    assert [len(body["requests"]) for body in bodies] == [2, 1], "only the new question is handed in"
    assert teacher.account().requests == 3 and teacher.account().open_dollars == 0


def test_what_fails_in_a_batch_is_handed_in_again_or_refused(make):
    invalid = {
        "type": "errored",
        "error": {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}},
    }
    with Front(reply=echo, polls=1) as front:
        front.results = {"late": [{"type": "expired"}], "bad": [invalid], "never": [{"type": "expired"}] * 9}
        good, late, bad, never = answers(make(front.url, batch=True), "good", "late", "bad", "never")
    assert good.reply.text == "seen: good" and late.reply.text == "seen: late"
    assert "too long" in bad.error and not bad.stopped
    assert "expired, 3 times" in never.error


def test_a_batch_holds_no_more_than_the_budget_allows(make):
    each = upper_bound(["You teach.", "a"], 16, PRICE, batch=True)
    dear = message("seen", input_tokens=100, output_tokens=16)
    with Front(reply=lambda body: dear, polls=1) as front:
        teacher = make(front.url, batch=True, prices={"tiny": PRICE}, budget=2.5 * each)
        found = answers(teacher, *"abcdef")
    assert len(front.asked("/v1/messages/batches")[0]["requests"]) == 2
    assert teacher.account().dollars <= 2.5 * each
    assert [a.stopped for a in found].count(True) == 3 == teacher.account().requests


# --- in Ray Data


def test_the_teacher_as_a_stage_of_ray_data(ray_local, make, tmp_path):
    import ray.data

    from rollout.stream import configure_data, pack, unpack
    from rollout.teacher.stage import teacher_stream

    configure_data()
    with Front(reply=echo) as front:
        config = TeacherConfig(model="tiny", base_url=front.url, cache=tmp_path / "cache", concurrency=3)
        rows = [{"payload": pack([(number, ask(str(number)))])["payload"][0]} for number in range(12)]
        source = ray.data.from_items(rows, override_num_blocks=12)
        stream = teacher_stream(source, config, tmp_path / "run", [find_key(config)])
        found = {}
        for batch in stream.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
            found |= {number: answered for number, _, answered in unpack(batch)}
    assert {number: a.reply.text for number, a in found.items()} == {n: f"seen: {n}" for n in range(12)}
    assert CostLedger(tmp_path / "run" / LEDGER_FILE).account().requests == 12
    assert asdict(found[0].reply)["model"] == "tiny"


def test_refusals_are_values_and_not_crashes(make):
    with Front(reply=echo) as front:
        front.script.append(busy(400, "invalid_request_error"))
        teacher = make(front.url)

        async def asked():
            with pytest.raises(RequestRefused, match="400"):
                await teacher.answer(ask("a"))
            return await teacher.answer(ask("b"))

        assert run(asked()).text == "seen: b"
