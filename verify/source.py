"""An outline of Python source from one linear scan: top-level names, classes, methods, and which function uses which.

Not a parser: it accepts any text, never fails and never recurses. It recognises strings, comments, brackets and
indentation, which is enough to tell a definition from the same words inside a docstring.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from itertools import pairwise

_TOKEN = re.compile(
    r"""(?P<string>[rbuRBUfF]{0,2}(?:\"{3}(?:[^"\\]|\\.|\"(?!\"\"))*+(?:\"{3}|\\?\Z)
        |'{3}(?:[^'\\]|\\.|'(?!''))*+(?:'{3}|\\?\Z)
        |\"(?:[^"\\\n]|\\.)*+(?:\"|$|\\\Z)|'(?:[^'\\\n]|\\.)*+(?:'|$|\\\Z)))
      |(?P<comment>\#[^\n]*+)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<join>\\\n)|(?P<line>\n)|(?P<word>[^\W\d]\w*+)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_DEF = re.compile(r"(?:async\s+)?def\s+([^\W\d]\w*+)")
_CLASS = re.compile(r"class\s+([^\W\d]\w*+)")
_ASSIGN = re.compile(r"([^\W\d][\w, \t]*+)(?::[^=\n]*+)?=(?!=)")
_IMPORT = re.compile(r"(?:import\s+[\w.]++(?:\s+as\s+\w++)?(?:\s*+(?:,|;|\#|$))|from\s+[\w.]++\s+import\b)")
_BLOCK = re.compile(
    r"(?:(?:if|elif|while|for|with|async|except|match|case)\b.*:|(?:else|try|finally|except)\s*+:|@[\w.]++(?:\(.*)?$"
    r"|(?:async\s+)?def\s+\w++\s*+[\[(]|class\s+\w++\s*+[(:\[])"
)
_OPEN_TO_MODULE = re.compile(r"(?:if|elif|while|for|with|except|match|case|else|try|finally|async\s+(?:for|with))\b")
"""Headers of blocks whose bodies bind module-level names."""
_MAIN_GUARD = re.compile(r"if\b.*\b__name__\b")
_SIMPLE = re.compile(
    r"(?:assert\s|raise\b|return\b|yield\b|del\s+\w|global\s+\w|nonlocal\s+\w|(?:pass|break|continue)\s*+(?:\#.*)?$)"
)
_TARGET = re.compile(r"(?!\d)[\w.\[\]'\"(), \t*:+-]*?(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)\s*+\S")
_SUM = re.compile(r"[\w)\]][ \t]*+[-+*/][ \t]*+[\w(]")
_BRACKETED = re.compile(r"\[[^\[\]]*+\]")
_CALL = re.compile(r"[\w.]++\s*+(?:\[.*\])?\(.*\)?\s*(?:\#.*)?$")
_PIECE = re.compile(r"[^\W\d]\w*+|[^\w\s]|\d[\w.]*+")
_QUOTED = re.compile(r"""(['"]).*?\1|\#.*""")
_SETTING = re.compile(r"(?:sys\.set\w+|(?:threading\.)?stack_size|random\.seed)\s*\(")
_LOOP_TARGET = re.compile(r"(?:async\s+)?for\s+([\w, \t()]*+)")
_DEFINITION = re.compile(r"(?:async\s+)?(?:def|class)\s+\w+\s*[(:]")


@dataclass(frozen=True, slots=True)
class Statement:
    """A logical line: it starts outside brackets and strings."""

    line: int
    indent: int
    text: str
    """Its first physical line, without indentation."""

    @property
    def opens_code(self) -> bool:
        """True for a line that can only be code, even amid prose: an import, definition, decorator or assignment."""
        return _opens(self.text)


@dataclass(slots=True)
class Source:
    """The outline of a source text."""

    statements: list[Statement] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Names bound at module level, also under `if`, `try`, `with` and loops: functions, classes, assignments,
    imports."""
    functions: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)
    """Methods of each class."""
    calls: dict[str, set[str]] = field(default_factory=dict)
    """Identifiers used in each of `functions`."""
    words: set[str] = field(default_factory=set)
    """All identifiers outside strings and comments."""
    local_names: set[str] = field(default_factory=set)
    """Names bound inside functions and classes."""
    acts: bool = False
    """Whether the top level has statements other than definitions, imports and assignments."""


def looks_like_code(line: str) -> bool:
    """Whether an unindented line is Python rather than prose. Empty lines, comments and brackets count as Python."""
    text = line.strip()
    if not text or text[0] in "#)]}'\"@" or line[:1].isspace():
        return True
    if _IMPORT.match(text) or _BLOCK.match(text) or _SIMPLE.match(text):
        return not _reads_as_prose(text)
    return bool(_stores(text) or _CALL.match(text)) and not _reads_as_prose(text)


def _stores(text: str) -> bool:
    """Whether it assigns to a valid target: `a[i + 1] += 2`, but not `4 * 6 = 24`."""
    if not _TARGET.match(text):
        return False
    return _SUM.search(_BRACKETED.sub("", text.partition("=")[0])) is None


def _reads_as_prose(text: str) -> bool:
    """Whether a name directly follows another name, a number or a closing bracket, which Python does not allow."""
    words = _PIECE.findall(_QUOTED.sub('""', text))
    return any(_is_name(b) and (a in (")", "]", "}") or a[0].isdigit() or _is_name(a)) for a, b in pairwise(words))


def _is_name(piece: str) -> bool:
    return piece.isidentifier() and not keyword.iskeyword(piece) and piece not in ("match", "case", "type", "print")


def _opens(text: str) -> bool:
    if _IMPORT.match(text) or text.startswith("@"):
        return not _reads_as_prose(text)
    if _DEF.match(text) or _CLASS.match(text):
        return bool(_BLOCK.match(text))
    return bool(_ASSIGN.match(text)) and looks_like_code(text)


def bare_code(text: str) -> tuple[int, int] | None:
    """Code amid prose: the first line that is clearly code, and the line after the last statement that is."""
    statements = [s for s in outline(text).statements if s.indent == 0]
    start = next((s.line for s in statements if s.opens_code), None)
    if start is None:
        return None
    end = next((s.line for s in statements if s.line > start and not looks_like_code(s.text)), text.count("\n") + 1)
    return start, end


def outline(text: str) -> Source:
    """The outline of `text`. Never raises; linear in the text."""
    source = Source()
    _scan(text, source)
    return source


@dataclass(slots=True)
class _Blocks:
    """The blocks around the current statement, by their indentation."""

    source: Source
    headers: list[tuple[int, str]] = field(default_factory=list)
    """Indentation and kind of each: any number of kind `open` (they bind module-level names), then at most one `def`,
    `class` or `guard` (runs only as a script)."""
    owner: str = ""
    """The current class."""
    function: str = ""
    """The current function; "" in methods."""
    inner: int = 0
    """Indentation of the class's methods."""

    def enter(self, s: Statement) -> None:
        """Adds a statement."""
        while self.headers and s.indent <= self.headers[-1][0]:
            self.headers.pop()
            self.owner = self.function = ""
        around = self.headers[-1][1] if self.headers else "open"
        if around == "open":
            self._at_module(s)
            return
        self.source.local_names.update(_bound(s.text))
        if around == "class" and (method := _DEF.match(s.text)):
            self.inner = self.inner or s.indent
            if s.indent == self.inner:
                self.source.classes[self.owner].append(method.group(1))

    def _at_module(self, s: Statement) -> None:
        source, text, kind = self.source, s.text, ""
        if found := _DEF.match(text):
            kind, self.function = "def", found.group(1)
            source.functions.append(self.function)
            source.names.add(self.function)
        elif found := _CLASS.match(text):
            kind, self.owner, self.inner = "class", found.group(1), 0
            source.classes.setdefault(self.owner, [])
            source.names.add(self.owner)
        elif _MAIN_GUARD.match(text):
            kind, source.acts = "guard", True
        elif _OPEN_TO_MODULE.match(text):
            kind = "open"
            source.names.update(_bound(text))
        elif _IMPORT.match(text):
            source.names.update(_imported(text))
        elif names := _bound(text):
            source.names.update(names)
        elif text[0] not in "@'\"" and not _SETTING.match(text) and not _stores(text):
            source.acts = True
        if kind:
            self.headers.append((s.indent, kind))


def _bound(text: str) -> list[str]:
    """Names that an assignment or the header of a loop binds."""
    found = _ASSIGN.match(text) or _LOOP_TARGET.match(text)
    return re.findall(r"[^\W\d]\w*+", found.group(1)) if found else []


def _imported(text: str) -> list[str]:
    parts = re.split(r"\bimport\b", text, maxsplit=1)[-1].strip("() ").split(",")
    return [words[-1].split(".")[0] for part in parts if (words := part.split())]


def _scan(text: str, source: Source) -> None:
    """Collects statements, words, and the words inside each function (`calls`)."""
    blocks = _Blocks(source)
    depth = line = start = 0
    fresh = True
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if fresh and kind not in ("line", "comment", "join"):
            first = text.find("\n", start)
            physical = text[start : first if first >= 0 else len(text)]
            body = physical.lstrip()
            statement = Statement(line, len(physical) - len(body), body)
            source.statements.append(statement)
            blocks.enter(statement)
            fresh = False
        if kind == "word":
            source.words.add(token.group())
            if blocks.function:
                source.calls.setdefault(blocks.function, set()).add(token.group())
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "join" or kind == "string":
            line += token.group().count("\n")
        elif kind == "line":
            line += 1
            if depth == 0 or _resumes(text, token.end()):
                depth, start, fresh = 0, token.end(), True


def _resumes(text: str, at: int) -> bool:
    """Whether an unindented definition starts here: it ends brackets that prose or a cut-off line left open."""
    return _DEFINITION.match(text, at) is not None
