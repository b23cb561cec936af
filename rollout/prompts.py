"""The one prompt builder: rollout, training, evaluation and pretraining all ask in these words.

A prompt is statement, signature, public examples, then one line that says how to answer. Chat models get it
through their tokenizer's chat template, plain models as text. `completion_text` is the other half of the
contract: how a worked answer (a teacher's, a reference's) is written as the completion of such a prompt, so
that what is trained on is what is extracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, model_validator

from problems.problem import Problem, Test

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Style = Literal["direct", "think"]

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"

PROMPT_FILE = "prompt.json"
"""In a model's folder: the prompt configuration that the model was trained with."""

USER_TEMPLATE = """\
{{ problem.statement }}
{% if problem.signature %}

{{ problem.signature }}
{% endif %}
{% if examples %}
{% if not problem.signature %}

{% endif %}
{% for example in examples %}
{{ example }}
{% endfor %}
{% endif %}

{{ instruction }}
"""
"""The default user message. One of your own may use the same names: problem, examples, instruction, style."""

_CODE_ANSWER = {
    "function": "one Python code block that defines this function.",
    "assert": "one Python code block that defines what these tests call.",
    "stdin": "one Python code block: a program that reads standard input and prints the answer.",
}


class Shot(BaseModel):
    """A question with its answer, shown before the one that is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    """The user's message."""
    answer: str
    """The completion, as the prompt asks for it."""


class PromptConfig(BaseModel):
    """How problems are put to a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    style: Style = "direct"
    """`direct` asks for the answer alone; `think` asks for reasoning in think tags before it."""
    examples: int = Field(2, ge=0)
    """How many public examples are shown, at most; hidden tests never are."""
    max_example_chars: int = Field(240, ge=0)
    """An example longer than this, in characters, is left out."""
    system: str = ""
    """System message; "" sends none (a chat template may then put its own)."""
    template: str = ""
    """Jinja2 text of the user message ("": the built-in one)."""
    chat: bool | None = None
    """Whether to use the tokenizer's chat template; None: where it has one."""
    shots: tuple[Shot, ...] = Field((), exclude_if=lambda shots: not shots)
    """Worked questions put before the one that is asked, as earlier turns for chat models."""
    few_shot: int = Field(0, ge=0, exclude_if=lambda count: not count)
    """As many shots more, drawn by the job from its training problems and answered rightly."""

    @model_validator(mode="after")
    def _answers_as_asked(self) -> PromptConfig:
        if self.few_shot and self.style == "think":
            raise ValueError("few_shot draws answers without thoughts, which style think asks for; write `shots`")
        return self


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it reaches the model."""

    text: str
    ids: list[int]
    """Token ids [prompt length]; nothing is to be added before them."""


class PromptBuilder:
    """Builds the prompt of a problem: the same problem, config and tokenizer always give the same tokens.

    Raises ValueError for a template that does not compile, and for `chat: true` with a tokenizer that has no chat
    template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: PromptConfig | None = None) -> None:
        self.tokenizer = tokenizer
        self.config = config or PromptConfig()
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if self.config.chat and not has_template:
            name = getattr(tokenizer, "name_or_path", "") or "this model"
            raise ValueError(f"the tokenizer of {name} has no chat template; set prompt.chat to false")
        self.chat = has_template if self.config.chat is None else self.config.chat
        _compiled(self.config.template or USER_TEMPLATE)

    def build(self, problem: Problem) -> Prompt:
        """The prompt of `problem`, ready to be completed."""
        question = self.message(problem)
        turns: list[tuple[str, str]] = []
        for shot in self.config.shots:
            if shot.question != question:  # a question that is asked must not be answered before
                turns += [("user", shot.question), ("assistant", shot.answer)]
        turns.append(("user", question))
        text = self._chat_text(turns) if self.chat else self._plain_text(turns)
        # A chat template writes the special tokens itself; a plain model still needs the tokenizer's own (a
        # BOS).
        ids = self.tokenizer(text, add_special_tokens=not self.chat)["input_ids"]
        return Prompt(text, list(ids))

    def message(self, problem: Problem) -> str:
        """The user message without chat markup. Raises ValueError for a name that a template cannot use."""
        return message(problem, self.config)

    def encode_completion(self, text: str) -> list[int]:
        """Token ids [completion length] of a completion to train on, its end token included.

        Raises ValueError where the tokenizer has no end token: a model trained without one never stops.
        """
        if self.tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end-of-sequence token; set tokenizer.eos_token before training")
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids, self.tokenizer.eos_token_id]

    def _chat_text(self, turns: list[tuple[str, str]]) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        if self.config.system:
            messages.insert(0, {"role": "system", "content": self.config.system})
        return self.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=self.config.style == "think",  # read by templates of models that can do both
        )

    def _plain_text(self, turns: list[tuple[str, str]]) -> str:
        parts = [self.config.system] if self.config.system else []
        parts += [f"{content}\n\nAnswer:" if role == "user" else content for role, content in turns]
        return "\n\n".join(parts) + "\n"


def message(problem: Problem, config: PromptConfig) -> str:
    """The question of `problem` in the words of `config`. Raises ValueError for a name that a template cannot use."""
    shown = [example_text(problem, example) for example in problem.public_examples]
    shown = [text for text in shown if len(text) <= config.max_example_chars]
    try:
        rendered = _compiled(config.template or USER_TEMPLATE).render(
            problem=problem,
            examples=shown[: config.examples],
            instruction=instruction(problem, config.style),
            style=config.style,
        )
    except jinja2.UndefinedError as error:
        names = "problem, examples, instruction and style"
        raise ValueError(f"prompt.template: {error}; the names it may use are {names}") from error
    return rendered.strip()


def shot(problem: Problem, answer: str, config: PromptConfig) -> Shot:
    """A worked problem as a shot of prompts in the words of `config`, whose style must be direct."""
    return Shot(question=message(problem, config), answer=completion_text(answer, kind=problem.kind))


def completion_text(answer: str, style: Style = "direct", thought: str = "", kind: str = "function") -> str:
    """A worked answer as a completion: a fenced Python block for code, a boxed value for kind `answer`.

    Style `think` puts `thought` in think tags before it. Raises ValueError for a thought in style `direct`:
    the prompt did not ask for one, and training on it would teach the model not to listen.
    """
    body = f"\\boxed{{{answer}}}" if kind == "answer" else f"```python\n{answer.strip()}\n```"
    if style == "think":
        return f"{THINK_OPEN}\n{thought.strip()}\n{THINK_CLOSE}\n{body}"
    if thought:
        raise ValueError("a completion in style direct holds no thought; use style think or leave the thought out")
    return body


def instruction(problem: Problem, style: Style) -> str:
    """The last line of the prompt: how to answer."""
    if problem.kind == "answer":
        first = f"Reason between {THINK_OPEN} and {THINK_CLOSE}, then end" if style == "think" else "End"
        return f"{first} with {_final_answer(problem.checker)}"
    if style == "think":
        return f"Reason between {THINK_OPEN} and {THINK_CLOSE}, then reply with {_CODE_ANSWER[problem.kind]}"
    return f"Reply with {_CODE_ANSWER[problem.kind]}"


def _final_answer(checker: str) -> str:
    match checker.partition(":")[0]:
        case "yes_no":
            return "the final answer, YES or NO, as \\boxed{YES} or \\boxed{NO}."
        case "choice":
            return "the letter of the right option as \\boxed{letter}."
    return "the final answer as \\boxed{answer}."


def example_text(problem: Problem, example: Test) -> str:
    """One public example as people write it: a call and its value, input and output, or the asserts."""
    match problem.kind:
        case "function":
            arguments = ", ".join(value_text(value) for value in example.args)
            return f"{problem.entry_point}({arguments}) -> {value_text(example.expected)}"
        case "stdin":
            return f"Input:\n{str(example.args[0]).rstrip()}\nOutput:\n{str(example.expected).rstrip()}"
        case "assert":
            return str(example.args[0]).strip()
    return f"Answer: {example.expected}"


def value_text(value: Any) -> str:
    """Python source of a value; sets and dicts in sorted order, so that hash seeds change nothing."""
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(value_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, set | frozenset):
        inner = ", ".join(sorted(map(value_text, value)))
        if isinstance(value, frozenset):
            return f"frozenset({{{inner}}})" if value else "frozenset()"
        return f"{{{inner}}}" if value else "set()"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{value_text(k)}: {value_text(v)}' for k, v in value.items()))}}}"
    return repr(value)


@lru_cache(maxsize=32)
def _compiled(source: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"prompt.template, line {error.lineno}: {error.message}") from error
