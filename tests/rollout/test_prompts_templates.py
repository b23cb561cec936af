"""Chat templates as models ship them: some open the thinking, some know no system message, some refuse."""

import pytest
from shared_folder import cases
from test_prompts import CHAT_TEMPLATE, _tokenizer

from problems.problem import Problem, Test
from problems.thinking import left_open
from rollout.prompts import CompletionDecoder, PromptBuilder, PromptConfig, completion_text
from verify.extract import extract_code
from verify.thinking import continued

CODE = "def fib(n):\n    return n"
OPENINGS = ["<think>\n", "<think>", "<thinking>\n", "<reasoning>\n\n", "[THINK]", "<|channel|>analysis<|message|>"]
QWEN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""One that leaves the choice to the caller."""
NO_SYSTEM = {
    "raises": "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}",
    "raises several lines": "{% if m.role == 'system' %}{{ raise_exception('No system\nrole') }}{% endif %}",
    "wants turns": "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}"
    "{% endif %}",
    "breaks on it": "{% if m.role == 'system' %}{{ m.content.parts[0].text }}{% endif %}",
    "adds to it": "{% if m.role == 'system' %}{{ 1 + m.content }}{% endif %}",
}


@pytest.fixture
def fib() -> Problem:
    return Problem(
        id="fib-1", family="fibonacci", family_version=1, difficulty=1, split="train", statement="Return fib n.",
        entry_point="fib", signature="def fib(n: int) -> int:", public_examples=(), hidden_tests=(Test((1,), 1),),
    )  # fmt: skip


def builder(template: str, **settings) -> PromptBuilder:
    tokenizer = _tokenizer(bos=True)
    tokenizer.bos_token = "<bos>"
    tokenizer.chat_template = template
    return PromptBuilder(tokenizer, PromptConfig(**settings))


def row(made: PromptBuilder, problem: Problem, completion: str) -> str:
    """Prompt and completion as they are trained on, without the end token."""
    ids = [*made.build(problem).ids, *made.encode_completion(completion)]
    return made.tokenizer.decode(ids[:-1], skip_special_tokens=False)


def opening(text: str) -> str:
    return CHAT_TEMPLATE.replace("<assistant>{% endif %}", "<assistant>" + text + "{% endif %}")


@pytest.mark.parametrize("mark", OPENINGS)
def test_an_answer_without_a_thought_closes_the_thinking_first(mark, fib):
    made = builder(opening(mark), style="direct")
    text = row(made, fib, completion_text(CODE))
    assert text.startswith(made.build(fib).text) and text.count(mark.strip()) == 1
    answer = text.partition("<assistant>")[2]
    assert extract_code(answer, "fib").code.strip() == CODE
    # As sampled: the model's own part, judged behind its prompt.
    sampled = text.removeprefix(made.build(fib).text)
    assert extract_code(continued(made.build(fib).text, sampled), "fib").code.strip() == CODE
    assert extract_code(continued(made.build(fib).text, completion_text(CODE)), "fib").code is None


@pytest.mark.parametrize("mark", OPENINGS)
def test_the_opening_tag_stands_once(mark, fib):
    made = builder(opening(mark), style="think")
    text = row(made, fib, completion_text(CODE, "think", "Easy: </n>."))
    answer = text.partition("<assistant>")[2]
    assert answer.count(mark.strip()) == 1 and answer.count("Easy") == 1
    assert ("<think>" in answer) == ("<think>" in mark) and ("</think>" in answer) == ("<think>" in mark)
    assert extract_code(answer, "fib").code.strip() == CODE
    assert answer.startswith(mark)


def test_the_blank_thought_is_written_as_models_write_it(fib):
    text = row(builder(opening("<think>\n")), fib, completion_text(CODE))
    assert text.endswith(f"<assistant><think>\n\n</think>\n\n```python\n{CODE}\n```")
    assert row(builder(QWEN), fib, completion_text(CODE)).endswith(
        f"<assistant><think>\n\n</think>\n\n```python\n{CODE}\n```"
    )


def test_templates_that_open_nothing_are_left_alone(fib):
    for template, style, thought in (
        (CHAT_TEMPLATE, "direct", ""),
        (QWEN, "think", "Hm"),
        (CHAT_TEMPLATE, "think", "Hm"),
    ):
        made = builder(template, style=style)
        completion = completion_text(CODE, style, thought)
        assert made.opened == "" and row(made, fib, completion).endswith(f"<assistant>{completion}")
    plain = builder(opening("<think>\n"), chat=False)
    assert plain.opened == "" and row(plain, fib, completion_text(CODE)).endswith(f"Answer:\n{completion_text(CODE)}")


@pytest.mark.parametrize("case", cases("prompts"))
def test_cases(case, fib):
    config = {key.removeprefix("prompt."): value for key, value in case["settings"].items()}
    made = builder(case["chat_template"], **config)
    text = row(made, fib, completion_text(CODE))
    if "system" in config:
        assert f"user\n{config['system']}\n\nReturn fib n." in text
    else:
        assert text.index("<think>") < text.index("</think>") < text.index("```python")


@pytest.mark.parametrize("form", NO_SYSTEM)
def test_a_system_message_that_the_template_does_not_take_goes_into_the_question(form, fib):
    template = CHAT_TEMPLATE.replace("<{{ m.role }}>", NO_SYSTEM[form] + "<{{ m.role }}>")
    made = builder(template, system="Be brief.", shots=({"question": "a", "answer": "b"},))
    text = made.build(fib).text
    assert text.startswith("<user>Be brief.\n\na<end><assistant>b<end><user>Return fib n.")
    assert "<system>" not in text and text.count("Be brief.") == 1


def test_a_system_message_that_the_template_drops_goes_into_the_question_too(fib):
    shown = "<{{ m.role }}>{{ m.content }}<end>"
    dropping = CHAT_TEMPLATE.replace(shown, "{% if m.role != 'system' %}" + shown + "{% endif %}")
    assert builder(dropping, system="Be brief.").build(fib).text.startswith("<user>Be brief.\n\nReturn fib n.")


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('Not this\nway') }}", "{{ messages[7].content }}", "{{ 1 + 'a' }}", "{% if %}"]
)
def test_a_template_that_refuses_every_prompt_is_named_in_one_line(template):
    with pytest.raises(ValueError, match="the chat template of this model refuses the prompt") as error:
        builder(template, system="Be brief.")
    assert "\n" not in str(error.value) and "prompt.chat" in str(error.value)


def test_marks_of_thinking_stay_in_the_text_though_they_are_special_tokens():
    tokenizer = _tokenizer()
    assert CompletionDecoder(tokenizer)(tokenizer("<user>a b<end>")["input_ids"]) == "a b"
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "[THINK]", "[/THINK]"]})
    text = "<user>[THINK]draft[/THINK]```python\nx\n```<end>"
    assert CompletionDecoder(tokenizer)(tokenizer(text)["input_ids"]) == text[6:-5]


def test_prompts_show_what_they_leave_open(fib):
    assert left_open(builder(opening("<think>\n")).build(fib).text) == "<think>"
    assert left_open(builder(QWEN).build(fib).text) == ""
