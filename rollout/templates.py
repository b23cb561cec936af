"""Jinja templates of strangers: what comes with a model's folder or a run may not take more time or text than it may.

jinja2's sandbox keeps a template from Python's insides, not from `'x' * 10**10` or a loop in a loop. Here each way to
make text is measured before it is made, and the thread's CPU time is looked at as the template's lines run.
"""

from __future__ import annotations

import functools
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, cast

import jinja2
from jinja2.compiler import CodeGenerator
from jinja2.filters import FILTERS as DEFAULT_FILTERS
from jinja2.nodes import Concat
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_TEMPLATE = 2**18
"""Characters of a template; those of large models have 30,000."""
LONGEST_TEXT = 2**22
"""Characters of a rendered text, and of each that is made on the way."""
_ALL_TEXTS = 16 * LONGEST_TEXT
"""Characters that may be made on the way in all."""
_SECONDS = 2.0
"""CPU time of one rendering."""
_BITS = 2**15
_WIDEST = 1000
_LINES_BETWEEN = 64
"""Lines of a template's code between two looks at the clock."""

_FILTERS = frozenset(
    {
        "abs", "attr", "bool", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
        "forceescape", "format", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max",
        "min", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "sort",
        "string", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
    }
)  # fmt: skip
"""Filters of jinja2 that templates may use; the others make text out of a number, and no prompt needs them."""
_GLOBALS = frozenset({"range", "dict", "namespace", "cycler", "joiner"})


class TooMuch(BaseException):
    """A template asks for more than it may. Not an Exception, which a filter might take for one of its own."""


class TemplateRefused(ValueError):
    """A template that cannot be used; the message goes on from the template's name."""


def compiled(source: str, extensions: Any = (), **more: Mapping[str, Any]) -> jinja2.Template:
    """The template of a text; `more` are `filters` and `globals` beside jinja2's own. Raises TemplateRefused."""
    if len(source) > LONGEST_TEMPLATE:
        raise TemplateRefused(f"it has {len(source):,} characters, and {LONGEST_TEMPLATE:,} is the most")
    environment = _Environment(extensions)
    for name, function in more.get("filters", {}).items():
        environment.filters[name] = _measured(name, function, environment)
    environment.globals.update(more.get("globals", {}))
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateRefused(f"line {error.lineno}: {error.message}") from error
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise TemplateRefused(f"it is nested too deep ({type(error).__name__})") from None


def rendered(template: jinja2.Template, **values: Any) -> str:
    """The text of a template. Raises TemplateRefused where it is too long or takes too long, jinja2's own errors
    otherwise."""
    environment = cast(_Environment, template.environment)
    environment.local.made = 0
    before = sys.gettrace()
    sys.settrace(_Clock())
    try:
        return template.render(**values)
    except TooMuch as error:
        raise TemplateRefused(str(error)) from None
    except (RecursionError, MemoryError) as error:
        raise TemplateRefused(f"it goes too deep or takes too much memory ({type(error).__name__})") from None
    finally:
        sys.settrace(before)


class _Clock:
    """Python's trace function: looks at the thread's CPU time as lines of a template's code run."""

    def __init__(self) -> None:
        self._end = time.thread_time() + _SECONDS
        self._left = _LINES_BETWEEN

    def __call__(self, frame: FrameType, event: str, argument: Any) -> _Clock:
        self._left -= 1
        if self._left < 0:
            self._left = _LINES_BETWEEN
            if time.thread_time() > self._end:
                raise TooMuch(f"it takes more than {_SECONDS:g} s of CPU time")
        return self


class _Generator(CodeGenerator):
    """Writes `a ~ b` as a call of the environment, which measures it."""

    def visit_Concat(self, node: Concat, frame: Any) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: Any, frame: Any) -> None:
        self._measured(super().visit_List, node, frame)

    def visit_Tuple(self, node: Any, frame: Any) -> None:
        if node.ctx == "load":
            self._measured(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Dict(self, node: Any, frame: Any) -> None:
        self._measured(super().visit_Dict, node, frame)

    def _measured(self, visit: Callable[..., None], node: Any, frame: Any) -> None:
        self.write("environment.checked(")
        visit(node, frame)
        self.write(")")


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Generator

    def __init__(self, extensions: Any = ()) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined if not extensions else jinja2.Undefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            optimized=False,  # what is constant is not worked out while it is compiled, unmeasured
            finalize=self.text,
            extensions=extensions,
        )
        self.local = threading.local()
        self.filters = {
            name: _measured(name, DEFAULT_FILTERS[name], self) for name in _FILTERS & DEFAULT_FILTERS.keys()
        }
        self.globals = {name: value for name, value in self.globals.items() if name in _GLOBALS}

    def room_for(self, length: int) -> None:
        """Raises TooMuch where a text of so many characters, or all together, would be too long."""
        made = self.local.made = getattr(self.local, "made", 0) + length
        if length > LONGEST_TEXT or made > _ALL_TEXTS:
            most = LONGEST_TEXT if length > LONGEST_TEXT else _ALL_TEXTS
            raise TooMuch(f"it makes more than {most:,} characters of text")

    def concat(self, parts: Iterable[str]) -> str:  # type: ignore[override]
        """The text of parts, as jinja2 joins what a template, a macro or a block wrote."""
        kept, length = [], 0
        for part in parts:
            kept.append(part)
            length += len(part)
            if length > LONGEST_TEXT:
                raise TooMuch(f"its text has more than {LONGEST_TEXT:,} characters")
        self.room_for(length)
        return "".join(kept)

    def joined(self, parts: Iterable[Any]) -> str:
        """`a ~ b`."""
        return self.concat(str(self.text(part)) for part in parts)

    def text(self, value: Any) -> Any:
        """A value that is about to become text."""
        return value if isinstance(value, str) else self.checked(value)

    def checked(self, value: Any) -> Any:
        """A value whose lists and objects, each as often as it is mentioned, are not too large to be written."""
        size_of(value)
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, bytes) or isinstance(right, bytes):
            raise TooMuch("it makes texts of bytes, which no prompt needs")
        if operator == "%" and isinstance(left, str):
            self.room_for(_percent_length(left, right))
        elif operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str | list | tuple) and isinstance(other, int):
                    self.room_for(size_of(one) * max(other, 0))
            if isinstance(left, int) and isinstance(right, int):
                _few_bits(left.bit_length() + right.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _few_bits(left.bit_length() * abs(right))
        elif operator == "+" and isinstance(left, str | list | tuple):
            self.room_for(size_of(left) + size_of(right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        method = getattr(__obj, "__wrapped__", __obj)  # jinja2 wraps `format`
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str | bytes):
            args = __self._text_method(owner, method.__name__, args, kwargs)
        return __self._result(super().call(__context, __obj, *args, **kwargs))

    def _text_method(
        self, owner: str | bytes, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """The arguments of a method of a text, once what it makes is known to be short enough."""
        if name == "translate" or isinstance(owner, bytes):
            raise TooMuch("it translates texts, or makes them of bytes, which no prompt needs")
        for number in (*args, *kwargs.values()):
            if isinstance(number, int) and name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
                self.room_for(len(owner) + number * (owner.count("\t") + 1))
        if name == "join" and args:
            args = (list(args[0]),)
            self.room_for(size_of(args[0]) + len(owner) * len(args[0]))
        elif name == "replace" and len(args) > 1:
            self.room_for(_replaced_length(owner, *args[:2]))
        elif name in ("format", "format_map"):
            if re.search(r"\d{4}|:[^{}]*\{", owner):
                raise TooMuch("it formats with a width that is not plain")
            self.room_for(len(owner) + owner.count("{") * (size_of(args) + size_of(dict(kwargs))))
        return args

    def _result(self, value: Any) -> Any:
        if isinstance(value, str):
            self.room_for(len(value))
        return self.text(value)


def size_of(value: Any) -> int:
    """Characters that a value takes when it is written, about. Raises TooMuch where they are too many."""
    total, todo = 0, [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str | bytes):
            total += len(one)
        elif isinstance(one, Mapping):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            todo += one
        elif isinstance(one, int):
            total += one.bit_length() // 3
        total += 2
        if total > 2 * LONGEST_TEXT:
            raise TooMuch(f"its lists hold more than {LONGEST_TEXT:,} characters")
    return total


def _few_bits(bits: int) -> None:
    if bits > _BITS:
        raise TooMuch(f"it makes a number of more than {_BITS:,} bits")


def _percent_length(form: str, values: Any) -> int:
    if re.search(r"%[^a-zA-Z%]*(?:\d{4}|\*)", form):
        raise TooMuch("it formats with a width that is not plain")
    return len(form) + form.count("%") * size_of(values) + _WIDEST * form.count("%")


def _replaced_length(text: str, old: Any, new: Any) -> int:
    return len(text) + text.count(str(old)) * len(str(new))


def _measured(name: str, function: Callable[..., Any], environment: _Environment) -> Callable[..., Any]:
    """A filter that measures what it is given and what it makes."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        passed, (value, *rest) = args[:skipped], args[skipped:]
        numbers = [one for one in (*rest, *kwargs.values()) if isinstance(one, int)]
        if any(abs(number) > _WIDEST for number in numbers) and name in ("indent", "tojson"):
            raise TooMuch(f"its filter {name} is given {max(numbers):,}")
        if name == "join":
            value = list(value)
            between = len(str(rest[0] if rest else kwargs.get("d", "")))
            environment.room_for(size_of(value) + between * len(value))
        elif name == "replace" and len(rest) > 1:
            environment.room_for(_replaced_length(str(environment.text(value)), *rest[:2]))
        elif name == "format":
            environment.room_for(_percent_length(str(value), kwargs or tuple(rest)))
        elif name == "indent":
            width = rest[0] if rest else kwargs.get("width", 4)
            environment.room_for(len(str(value)) + (str(value).count("\n") + 1) * size_of(width) * _WIDEST // 100)
        elif name == "tojson":
            indent = rest[1] if len(rest) > 1 else kwargs.get("indent")
            environment.room_for(size_of(value) * (1 + (indent if isinstance(indent, int) else 4)))
        elif name not in ("default", "d"):
            environment.text(value)
        return environment._result(function(*passed, value, *rest, **kwargs))

    return run
