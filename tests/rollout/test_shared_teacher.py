"""Several teachers of one run: each gets its share, by its own protocol, over one budget."""

import asyncio
import json
from collections import Counter

import pytest
from hostile_server import OWN, ask, environment  # noqa: F401
from servers import Front, busy, message

from problems.config import ProblemsConfig
from problems.stream import ProblemStream
from rollout.teacher.config import Price, TeacherConfig
from rollout.teacher.cost_ledger import upper_bound
from rollout.teacher.opening import SharedTeacher, open_teacher
from rollout.teacher.request_cache import TeacherRequest

PRICE = Price(input=1000, output=5000)


def says(word):
    return lambda body: message(f"{word} {body['messages'][-1]['content']}", model=body["model"])


def shared(url, folder, others, **more):
    given = {"max_tokens": 16, "patience": 0.2, "backoff": 0.02, "sdk_retries": 0, "timeout": 5.0}
    return TeacherConfig(model="one", base_url=url, cache=folder / "cache", others=others, **{**given, **more})


def request(text, sample=0):
    return TeacherRequest("s", (("user", text),), sample)


@pytest.mark.parametrize("shares", [(1, 1), (3, 1), (1, 2, 5)])
def test_each_gets_its_share_and_a_conversation_stays_with_it(shares):
    teacher = SharedTeacher([None] * len(shares), shares, None)
    found = Counter(teacher.index(request(f"question {n}", n % 2)) for n in range(4000))
    for index, share in enumerate(shares):
        assert found[index] / 4000 == pytest.approx(share / sum(shares), abs=0.03)
    for n in range(50):
        first = request(f"question {n}")
        on = TeacherRequest("s", (*first.messages, ("assistant", "no"), ("user", "again")))
        assert teacher.index(on) == teacher.index(first)
    again = SharedTeacher([None] * len(shares), shares, None)
    assert [again.index(request(str(n))) for n in range(50)] == [teacher.index(request(str(n))) for n in range(50)]


def test_two_protocols_answer_one_run_over_one_ledger(tmp_path):
    questions = [f"q{n}" for n in range(16)]
    with Front(reply=says("messages")) as one, Front(reply=says("chat")) as two:
        other = {"model": "two", "protocol": "openai", "base_url": two.url, "key_variable": "OWN_KEY", "share": 1,
                 "temperature": "none", "max_tokens": 9}  # fmt: skip
        config = shared(one.url, tmp_path, [other], prices={"o": PRICE, "t": PRICE}, budget=10.0)
        found, account = ask(config, tmp_path, *questions)
        again, _ = ask(config, tmp_path, *questions)
    by_model = Counter(answered.reply.model for answered in found)
    assert set(by_model) == {"one", "two"} and min(by_model.values()) > 2
    assert len(one.asked()) == by_model["one"] and len(two.asked("/v1/chat/completions")) == by_model["two"]
    for answered in found:
        assert answered.reply.text.startswith({"one": "messages", "two": "chat"}[answered.reply.model])
    assert account.requests == 16 and account.dollars == pytest.approx(16 * (11 * 1000 + 7 * 5000) / 1e6)
    assert all(answered.reply.cached for answered in again)
    asked = two.asked("/v1/chat/completions")[0]
    assert "temperature" not in asked and asked["max_tokens"] == 9 and one.asked()[0]["temperature"] == 0.3
    assert OWN in json.dumps(two.seen[0][3]) and OWN not in json.dumps([seen[3] for seen in one.seen])


def test_the_budget_is_one_for_all(tmp_path):
    each = upper_bound(["s", "q10"], 16, PRICE)
    with Front(reply=lambda body: message("x", model=body["model"], input_tokens=60, output_tokens=16)) as front:
        others = [{"model": "two", "protocol": "openai", "base_url": front.url}]
        config = shared(front.url, tmp_path, others, prices={"o": PRICE, "t": PRICE}, budget=4 * each)
        found, account = ask(config, tmp_path, *(f"q{n}" for n in range(10, 30)))
    assert account.dollars + account.open_dollars <= 4 * each < account.dollars + each
    assert {a.reply.model for a in found if a.reply} == {"one", "two"}
    assert all(a.stopped and "budget" in a.error for a in found if not a.reply)


def test_one_that_stops_does_not_stop_the_others(tmp_path):
    with Front(reply=says("messages")) as one, Front(reply=says("chat")) as two:
        two.script += [busy(401, "authentication_error")] * 99
        config = shared(one.url, tmp_path, [{"model": "two", "protocol": "openai", "base_url": two.url}])
        found, _ = ask(config, tmp_path, *(f"q{n}" for n in range(12)))
    assert len(two.seen) == 1
    assert {a.stopped for a in found} == {True, False} and all(a.reply or two.url in a.error for a in found)


def test_the_offline_teacher_may_be_one_of_them(tmp_path):
    stream = ProblemStream(ProblemsConfig(families=("word_problems",)), "train")
    problems = [stream.problem(index) for index in range(12)]

    async def go(config):
        teacher = open_teacher(config, tmp_path / "run", solve=lambda problem: "7")
        found = [await teacher.answer(TeacherRequest("s", (("user", p.statement),), problem=p)) for p in problems]
        await teacher.close()
        return {reply.model for reply in found}

    with Front(reply=says("messages")) as front:
        first = shared(front.url, tmp_path, [{"model": "reference"}], thought="brief")
        assert asyncio.run(go(first)) == {"one", "reference"}
        other = TeacherConfig(others=[{"model": "one", "base_url": front.url}], cache=tmp_path / "cache")
        assert asyncio.run(go(other)) == {"one", "reference"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"share": 2.0}, "single teacher"),
        ({"others": [{"model": "two", "share": 0}]}, "greater than 0"),
        ({"others": [{"model": "two", "temperature": 1.5}]}, r"others, two: .*temperature"),
        ({"others": [{"model": "reference", "batch": True}]}, r"others, reference: .*batch has no effect"),
        ({"others": [{"model": "two", "base_url": "https://x", "key_variable": "ANTHROPIC_API_KEY"}]}, "own host"),
        ({"others": [{"model": "two", "budget": 1}]}, "budget"),
        ({"base_url": "http://h", "budget": 1.0, "others": [{"model": "two", "base_url": "http://g"}]}, "as free"),
        ({"thought": "brief", "others": [{"model": "two"}]}, "reference teacher"),
    ],
)  # fmt: skip
def test_what_has_no_effect_or_cannot_be_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        TeacherConfig(**{"model": "one", **given})


def test_a_budget_counts_where_one_of_them_costs():
    config = TeacherConfig(model="one", base_url="http://h", budget=1.0, others=[{"model": "claude-haiku-4-5"}])
    assert [member.price.output for member in config.members] == [0, 5]
