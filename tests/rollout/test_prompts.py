"""Prompts: the wording of every kind, chat and plain models, and that nothing hidden is ever shown."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from problems.problem import Problem, Test
from rollout.example_text import example_text, value_text
from rollout.prompts import PromptBuilder, PromptConfig, Shot, completion_text, shot

CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def _tokenizer(chat: bool = True, bos: bool = False, eos: bool = True) -> PreTrainedTokenizerFast:
    special = ["<user>", "<assistant>", "<system>", "<end>", "<bos>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if bos:
        from tokenizers.processors import TemplateProcessing

        inner.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>" if eos else None, additional_special_tokens=special
    )
    tokenizer.chat_template = CHAT_TEMPLATE if chat else None
    return tokenizer


@pytest.fixture
def fib() -> Problem:
    return Problem(
        id="fib-1", family="fibonacci", family_version=1, difficulty=1, split="train",
        statement="Return the n-th Fibonacci number.", entry_point="fib", signature="def fib(n: int) -> int:",
        public_examples=(Test((1,), 1), Test((6,), 8), Test((7,), 13)), hidden_tests=(Test((31337,), 999),),
    )  # fmt: skip


def test_function_prompt_reads_as_expected(fib):
    text = PromptBuilder(_tokenizer()).message(fib)
    assert text == (
        "Return the n-th Fibonacci number.\n"
        "\n"
        "def fib(n: int) -> int:\n"
        "fib(1) -> 1\n"
        "fib(6) -> 8\n"
        "\n"
        "Reply with one Python code block that defines this function."
    )


def test_chat_prompt_opens_the_assistants_turn_and_ids_are_its_text(fib):
    tokenizer = _tokenizer()
    builder = PromptBuilder(tokenizer, PromptConfig(system="Be brief."))
    prompt = builder.build(fib)
    assert prompt.text == f"<system>Be brief.<end><user>{builder.message(fib)}<end><assistant>"
    assert tokenizer.decode(prompt.ids, skip_special_tokens=False) == prompt.text
    assert prompt.ids[0] == tokenizer.convert_tokens_to_ids("<system>")


def test_plain_prompt_keeps_the_tokenizers_bos_and_a_chat_prompt_adds_none(fib):
    tokenizer = _tokenizer(bos=True)
    bos = tokenizer.convert_tokens_to_ids("<bos>")
    plain = PromptBuilder(tokenizer, PromptConfig(chat=False)).build(fib)
    assert plain.ids[0] == bos and plain.text.endswith("\n\nAnswer:\n")
    assert bos not in PromptBuilder(tokenizer).build(fib).ids


def test_a_model_without_chat_template_gets_plain_text_unless_chat_is_demanded(fib):
    tokenizer = _tokenizer(chat=False)
    assert "<user>" not in PromptBuilder(tokenizer).build(fib).text
    with pytest.raises(ValueError, match=r"no chat template; set prompt\.chat to false"):
        PromptBuilder(tokenizer, PromptConfig(chat=True))


@pytest.mark.parametrize("count, shown", [(0, 0), (1, 1), (3, 3), (9, 3)])
def test_examples_shown_are_counted_and_hidden_tests_are_never_shown(fib, count, shown):
    text = PromptBuilder(_tokenizer(), PromptConfig(examples=count)).message(fib)
    assert text.count(" -> ") - 1 == shown
    assert "31337" not in text


def test_an_example_too_long_to_show_gives_its_place_to_the_next(fib):
    long = Test((10**300,), 0)
    problem = dataclasses.replace(fib, public_examples=(long, *fib.public_examples))
    text = PromptBuilder(_tokenizer(), PromptConfig(examples=2)).message(problem)
    assert "fib(1) -> 1\nfib(6) -> 8\n" in text


@pytest.mark.parametrize(
    "kind, checker, example, wanted",
    [
        ("stdin", "exact", Test(("1 2\n",), "3\n"), ["Input:\n1 2\nOutput:\n3", "standard input"]),
        ("assert", "exact", Test(("assert f(1) == 2",), None), ["assert f(1) == 2", "code block"]),
        ("answer", "math", Test((), "42"), ["Answer: 42", "\\boxed{answer}"]),
        ("answer", "yes_no", Test((), "YES"), ["\\boxed{YES} or \\boxed{NO}"]),
        ("answer", "choice", Test((), "B"), ["\\boxed{letter}"]),
    ],
)
@pytest.mark.parametrize("style", ["direct", "think"])
def test_every_kind_says_how_to_answer(fib, kind, checker, example, wanted, style):
    problem = dataclasses.replace(
        fib, kind=kind, checker=checker, signature="", entry_point="", public_examples=(example,)
    )
    text = PromptBuilder(_tokenizer(), PromptConfig(style=style)).message(problem)
    assert all(part in text for part in wanted)
    assert ("<think>" in text) is (style == "think")
    assert "\n\n\n" not in text and text == text.strip()


def test_a_problem_without_examples_or_signature_leaves_no_hole(fib):
    bare = dataclasses.replace(fib, public_examples=(), signature="")
    text = PromptBuilder(_tokenizer()).message(bare)
    assert text == "Return the n-th Fibonacci number.\n\nReply with one Python code block that defines this function."


def test_shots_come_first_as_turns_of_their_own(fib):
    double = dataclasses.replace(fib, statement="Return n doubled.")
    config = PromptConfig(shots=(shot(double, "def fib(n):\n    return 2 * n", PromptConfig()),))
    chat = PromptBuilder(_tokenizer(), config).build(fib).text
    assert chat.index("Return n doubled.") < chat.index("return 2 * n") < chat.index("n-th Fibonacci")
    assert chat.count("<assistant>") == 2
    plain = PromptBuilder(_tokenizer(chat=False), config).build(fib).text
    assert plain.count("Answer:") == 2 and plain.endswith("Answer:\n")


def test_a_shot_never_answers_the_question_that_is_asked(fib):
    config = PromptConfig(shots=(shot(fib, "def fib(n):\n    return 7", PromptConfig()),))
    assert "return 7" not in PromptBuilder(_tokenizer(), config).build(fib).text


def test_drawn_shots_have_no_thoughts_to_show():
    with pytest.raises(ValidationError, match="answers without thoughts"):
        PromptConfig(style="think", few_shot=2)


def test_shots_leave_the_record_of_a_prompt_without_them_as_it_is():
    assert not {"shots", "few_shot"} & PromptConfig().model_dump().keys()
    config = PromptConfig(few_shot=1, shots=(Shot(question="q", answer="a"),))
    assert PromptConfig.model_validate_json(config.model_dump_json()) == config


def test_own_template_and_its_mistakes(fib):
    own = PromptConfig(template="{{ problem.entry_point }}/{{ examples | length }}")
    assert PromptBuilder(_tokenizer(), own).message(fib) == "fib/2"
    with pytest.raises(ValueError, match=r"prompt\.template, line 1"):
        PromptBuilder(_tokenizer(), PromptConfig(template="{% if %}"))
    with pytest.raises(ValueError, match="names it may use are problem, examples"):
        PromptBuilder(_tokenizer(), PromptConfig(template="{{ question }}")).message(fib)


def test_statement_text_is_never_read_as_a_template(fib):
    problem = dataclasses.replace(fib, statement="What is {{ 6 * 7 }}?")
    assert "{{ 6 * 7 }}" in PromptBuilder(_tokenizer()).message(problem)


def test_unknown_config_key_is_refused():
    with pytest.raises(ValidationError, match="extra"):
        PromptConfig(exmples=3)


def test_completion_text_and_its_tokens(fib):
    code = "def fib(n):\n    return n\n"
    assert completion_text(code) == "```python\ndef fib(n):\n    return n\n```"
    assert completion_text(code, "think", "easy").startswith("<think>\neasy\n</think>\n```python\n")
    assert completion_text("7/2", kind="answer") == "\\boxed{7/2}"
    with pytest.raises(ValueError, match="no thought"):
        completion_text(code, "direct", "easy")
    tokenizer = _tokenizer()
    ids = PromptBuilder(tokenizer).encode_completion(completion_text(code))
    assert ids[-1] == tokenizer.eos_token_id and tokenizer.decode(ids[:-1]) == completion_text(code)
    with pytest.raises(ValueError, match="no end-of-sequence token"):
        PromptBuilder(_tokenizer(eos=False)).encode_completion("x")


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
hashable = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3)
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3) | st.sets(hashable, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_value_text_is_source_that_gives_the_value_back(value):
    assert eval(value_text(value)) == value


def test_value_text_does_not_depend_on_the_hash_seed():
    value = "[{'b', 'a', 'c', 'dd'}, {'y': 1, 'x': {'q', 'r'}}]"
    program = f"from rollout.example_text import value_text; print(value_text({value}))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert outputs == {"[{'a', 'b', 'c', 'dd'}, {'x': {'q', 'r'}, 'y': 1}]\n"}


def test_example_text_of_a_call(fib):
    assert example_text(fib, Test(([1, "a"], (2,)), {"k": None})) == "fib([1, 'a'], (2,)) -> {'k': None}"
