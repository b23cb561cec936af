"""The one prompt builder: rollout, training, evaluation and pretraining all ask in these words.

A prompt is statement, signature, public examples, then one line that says how to answer. Chat models get it
through their tokenizer's chat template, plain models as text. `completion_text` is the other half of the
contract: how a worked answer (a teacher's, a reference's) is written as the completion of such a prompt, so
that what is trained on is what is extracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

import jinja2
from jinja2.defaults import DEFAULT_NAMESPACE
from pydantic import BaseModel, ConfigDict, Field, model_validator

from problems.plain_text import one_line
from problems.problem import Problem
from problems.thinking import closing_of, left_open, marks_among
from rollout import base_models, templates
from rollout.base_models import ANSWER_MARK, OPEN_BLOCK
from rollout.example_text import example_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Style = Literal["direct", "think", "complete"]
TaughtStyle = Literal["direct", "think"]
"""Styles of answers to learn from."""

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
"""The default user message. One of your own may use the same names: problem, examples, instruction, style.

`problem` is a `Question`: a template may come with a model, and must not put the tests into the prompt.
"""

_CODE_ANSWER = {
    "function": "one Python code block that defines this function.",
    "assert": "one Python code block that defines what these tests call.",
    "stdin": "one Python code block: a program that reads standard input and prints the answer.",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a template may know of a problem: what its solver is told anyway."""

    statement: str
    signature: str
    entry_point: str
    kind: str


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
    """`direct` asks for the answer alone; `think` asks for reasoning in think tags before it; `complete`, for base
    models, begins the function that is asked for, signature and docstring, to be continued."""
    examples: int = Field(default=2, ge=0)
    """How many public examples are shown, at most; hidden tests never are."""
    max_example_chars: int = Field(default=240, ge=0)
    """An example longer than this, in characters, is left out."""
    system: str = ""
    """System message; "" sends none (a chat template may then put its own)."""
    template: str = ""
    """Jinja2 text of the user message ("": the built-in one)."""
    chat: bool | None = None
    """Whether to use the tokenizer's chat template; None: where it has one."""
    shots: tuple[Shot, ...] = Field(default=(), exclude_if=lambda shots: not shots)
    """Worked questions put before the one that is asked, as earlier turns for chat models."""
    few_shot: int = Field(default=0, ge=0, exclude_if=lambda count: not count)
    """As many more shots, chosen by the job from its training problems and answered rightly."""

    @model_validator(mode="after")
    def _answers_as_asked(self) -> PromptConfig:
        if self.few_shot and self.style == "think":
            raise ValueError("few_shot draws answers without thoughts, which style think asks for; write `shots`")
        if self.chat and self.style == "complete":
            raise ValueError(
                "chat true begins an answer of its own, and style complete goes on with a text: use one of them"
            )
        return self


class CompletionDecoder:
    """Token ids of a completion to text without special tokens, save those that mark its thinking.

    In some vocabularies those are special: without them nobody could tell a draft from the answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        special = {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        special.update(zip(tokenizer.all_special_ids, map(str, tokenizer.all_special_tokens), strict=True))
        marks = marks_among(special.values())
        self._hidden = {number for number, token in special.items() if token not in marks} if marks else None

    def __call__(self, ids: Sequence[int]) -> str:
        """The text of `ids` [completion length]."""
        if self._hidden is None:
            return str(self._tokenizer.decode([int(number) for number in ids], skip_special_tokens=True))
        shown = [int(number) for number in ids if int(number) not in self._hidden]
        return str(self._tokenizer.decode(shown, skip_special_tokens=False))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it reaches the model."""

    text: str
    ids: list[int]
    """Token ids [prompt length]; nothing is to be added before them."""


class PromptBuilder:
    """Builds the prompt of a problem: the same problem, config and tokenizer always give the same tokens.

    Raises ValueError for a template that does not compile, for `chat: true` with a tokenizer that has no chat
    template, and for a chat template that does not take such prompts.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, config: PromptConfig | None = None) -> None:
        self.tokenizer: Any = tokenizer
        """None builds text for a model that is reached by messages: `message`, not `build`."""
        self.config = config or PromptConfig()
        self._name = getattr(tokenizer, "name_or_path", "") or "this model"
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if self.config.chat and not has_template:
            raise ValueError(f"the tokenizer of {self._name} has no chat template; set prompt.chat to false")
        self.chat = has_template if self.config.chat is None else self.config.chat
        if self.config.style == "complete":
            self.chat = False
        _compiled(self.config.template or USER_TEMPLATE)
        self._chat_template = self._compiled_chat() if self.chat else None
        self._takes_system = bool(self.chat and self.config.system) and self._shows_system()
        self._end = self._chat_text([("user", "x")])[-80:] if self.chat else ""
        self.opened = left_open(self._end)
        """The mark of the thinking that the chat template opens at the end of every prompt; "" where it opens none."""

    def build(self, problem: Problem) -> Prompt:
        """The prompt of `problem`, ready to be completed."""
        question = self.message(problem)
        turns: list[tuple[str, str]] = []
        for shot in self.config.shots:
            if shot.question != question:  # a question that is asked must not be answered before
                turns += [("user", shot.question), ("assistant", shot.answer)]
        return self.conversation([*turns, ("user", question)])

    def conversation(self, turns: Sequence[tuple[str, str]]) -> Prompt:
        """The prompt of (role, text) turns, the user's last, behind the configured system message."""
        text = self._chat_text(list(turns)) if self.chat else self._plain_text(list(turns))
        # A chat template writes the special tokens itself; a plain model still needs the tokenizer's own (a
        # BOS).
        ids = self.tokenizer(text, add_special_tokens=not self.chat)["input_ids"]
        return Prompt(text, list(ids))

    def stops(self, problem: Problem) -> tuple[str, ...]:
        """Texts that end an answer to `problem` by the form of its prompt; () where the model's own end token does."""
        if self.chat:
            return ()
        if self.config.style == "complete" and base_models.is_function(problem):
            return base_models.AFTER_FUNCTION
        return base_models.ends(shot.answer for shot in self.config.shots)

    def answer(self, problem: Problem, text: str, stops: Sequence[str], ended: bool) -> str:
        """The answer in a completion's text, which goes on to one of `stops`; `ended` is false at the token limit."""
        within = base_models.until(text, stops)
        ended, text = ended or len(within) < len(text), within
        if self.config.style == "complete" and base_models.is_function(problem):
            return base_models.whole(problem, text, ended)
        return text

    def message(self, problem: Problem) -> str:
        """The user message without chat markup. Raises ValueError for a name that a template cannot use."""
        return message(problem, self.config)

    def encode_completion(self, text: str) -> list[int]:
        """Token ids [completion length] of a completion to train on, its end token included.

        Where the chat template opens the thinking, the completion goes on from there: its own opening tag is left out,
        and one without a thought closes the thinking first.

        Raises ValueError where the tokenizer has no end token: a model trained without one never stops.
        """
        if self.tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end-of-sequence token; set tokenizer.eos_token before training")
        ids: Any = self.tokenizer(self._continuing(text), add_special_tokens=False)["input_ids"]
        return [*ids, int(cast(Any, self.tokenizer.eos_token_id))]

    def _continuing(self, text: str) -> str:
        """A completion behind the thinking that its prompt has opened."""
        if not self.opened:
            return text
        closing = closing_of(self.opened)
        thought, answer = "\n\n", f"\n\n{text}"
        if text.startswith(THINK_OPEN):
            thought, _, answer = text.removeprefix(THINK_OPEN).partition(THINK_CLOSE)
        if closing.startswith("<|end|>"):  # channels are not set apart by lines
            return f"{thought.strip()}{closing}{answer.strip()}"
        return f"{thought.removeprefix(chr(10)) if self._end.endswith(chr(10)) else thought}{closing}{answer}"

    def _chat_text(self, turns: list[tuple[str, str]]) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        if self.config.system and self._takes_system:
            messages.insert(0, {"role": "system", "content": self.config.system})
        elif self.config.system:
            messages[0] = {"role": "user", "content": f"{self.config.system}\n\n{messages[0]['content']}"}
        return self._render(messages)

    def _shows_system(self) -> bool:
        """Whether the chat template takes a system message and shows it; else its text goes into the first question."""
        messages = [{"role": "system", "content": self.config.system}, {"role": "user", "content": "x"}]
        try:
            return self.config.system.strip() in self._render(messages)
        except ValueError:
            return False

    def _compiled_chat(self) -> jinja2.Template:
        """The tokenizer's chat template, with what transformers gives such templates, within bounds of ours."""
        from transformers.utils.chat_template_utils import _compile_jinja_template

        usual = _compile_jinja_template("").environment
        own = {name: usual.globals[name] for name in usual.globals.keys() - DEFAULT_NAMESPACE.keys()}
        try:
            return templates.compiled(
                self.tokenizer.get_chat_template(),
                [type(extension) for extension in usual.extensions.values()],
                filters={"tojson": usual.filters["tojson"]},
                globals=own,
            )
        except (ValueError, jinja2.TemplateError) as error:
            raise self._refuses(error) from error

    def _render(self, messages: list[dict[str, str]]) -> str:
        assert self._chat_template is not None, "only called where there is a chat template"
        try:
            return templates.rendered(
                self._chat_template,
                **{
                    **self.tokenizer.special_tokens_map,
                    "messages": messages,
                    "tools": None,
                    "documents": None,
                    "add_generation_prompt": True,
                    "enable_thinking": self.config.style == "think",  # read by templates of models that can do both
                },
            )
        except Exception as error:  # whatever a template of anybody's makes of messages
            raise self._refuses(error) from error

    def _refuses(self, error: Exception) -> ValueError:
        why = one_line(error, 300) or type(error).__name__
        return ValueError(
            f"the chat template of {self._name} refuses the prompt: {why}; fix it, or set prompt.chat to false"
        )

    def _plain_text(self, turns: list[tuple[str, str]]) -> str:
        text = f"{self.config.system}\n\n" if self.config.system else ""
        for role, content in turns:
            if role == "assistant":
                text += f"{content}\n\n"
            elif content.startswith(OPEN_BLOCK):
                text += content
            else:
                text += f"{content}\n\n{ANSWER_MARK}\n"
        return text


def message(problem: Problem, config: PromptConfig) -> str:
    """The question of `problem` in the words of `config`. Raises ValueError for a name that a template cannot use."""
    shown = [example_text(problem, example) for example in problem.public_examples]
    shown = [text for text in shown if len(text) <= config.max_example_chars]
    if config.style == "complete" and base_models.is_function(problem):
        return base_models.opening(problem, shown[: config.examples])
    try:
        rendered = templates.rendered(
            _compiled(config.template or USER_TEMPLATE),
            problem=Question(problem.statement, problem.signature, problem.entry_point, problem.kind),
            examples=shown[: config.examples],
            instruction=instruction(problem, config.style),
            style=config.style,
        )
    except jinja2.UndefinedError as error:
        names = "problem, examples, instruction and style; of problem statement, signature, entry_point and kind"
        raise ValueError(f"prompt.template: {one_line(error, 300)}; the names it may use are {names}") from error
    except Exception as error:  # whatever a template of anybody's makes of a problem
        raise ValueError(f"prompt.template: {one_line(error, 300) or type(error).__name__}") from error
    return rendered.strip()


def shot(problem: Problem, answer: str, config: PromptConfig) -> Shot:
    """A worked problem as a shot of prompts in the words of `config`, whose style is direct or complete.

    Raises ValueError for a program that style complete cannot show as the body of one function.
    """
    if config.style == "complete" and base_models.is_function(problem):
        return Shot(question=message(problem, config), answer=base_models.closing(answer, problem.entry_point))
    return Shot(question=message(problem, config), answer=completion_text(answer, kind=problem.kind))


def completion_text(answer: str, style: Style = "direct", thought: str = "", kind: str = "function") -> str:
    """A worked answer as a completion: a fenced Python block for code, a boxed value for kind `answer`.

    Style `think` puts `thought` in think tags before it. Raises ValueError for a thought in style `direct`:
    the prompt did not ask for one, and training on it would teach the model not to listen; and for style `complete`,
    which asks models that are not taught to answer.
    """
    if style == "complete":
        raise ValueError("style complete asks base models; to learn from answers, set prompt.style to direct or think")
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


@lru_cache(maxsize=32)
def _compiled(source: str) -> jinja2.Template:
    try:
        return templates.compiled(source)
    except (ValueError, jinja2.TemplateError) as error:
        raise ValueError(f"prompt.template, {one_line(error, 300)}") from error
