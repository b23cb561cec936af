"""An outline of Python source by one linear scan: top-level names, classes, methods, who names whom.

Not a parser: it never rejects, never recurses, and reads any text whatever. It knows strings, comments,
brackets and indentation, which is enough to tell a definition from the same words inside a docstring.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from itertools import pairwise

_TOKEN = re.compile(
    r"""(?P<string>[rbuRBUfF]{0,2}(?:\"{3}(?:[^"\\]|\\.|\"(?!\"\"))*(?:\"{3}|\Z)|'{3}(?:[^'\\]|\\.|'(?!''))*(?:'{3}|\Z)
        |\"(?:[^"\\\n]|\\.)*(?:\"|$)|'(?:[^'\\\n]|\\.)*(?:'|$)))
      |(?P<comment>\#[^\n]*)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<join>\\\n)|(?P<line>\n)|(?P<word>[^\W\d]\w*)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_DEF = re.compile(r"(?:async\s+)?def\s+([^\W\d]\w*)")
_CLASS = re.compile(r"class\s+([^\W\d]\w*)")
_ASSIGN = re.compile(r"([^\W\d][\w, \t]*?)\s*(?::[^=\n]+)?=(?!=)")
_IMPORT = re.compile(r"(?:import\s+[\w.]+(?:\s+as\s+\w+)?(?:\s*,|\s*;|\s*\#|\s*$)|from\s+[\w.]+\s+import\b)")
_BLOCK = re.compile(
    r"(?:(?:if|elif|while|for|with|async|except|match|case)\b.*:|(?:else|try|finally|except)\s*:|@[\w.]+(?:\(.*)?$"
    r"|(?:async\s+)?def\s+\w+\s*[\[(]|class\s+\w+\s*[(:\[])"
)
_SIMPLE = re.compile(
    r"(?:assert\s|raise\b|return\b|yield\b|del\s+\w|global\s+\w|nonlocal\s+\w|(?:pass|break|continue)\s*(?:\#.*)?$)"
)
_STORE = re.compile(r"[\w.\[\]'\"(), \t*:+-]*?(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)\s*\S")
_CALL = re.compile(r"[\w.]+\s*(?:\[.*\])?\(.*\)?\s*(?:\#.*)?$")
_PIECE = re.compile(r"[^\W\d]\w*|[^\w\s]|\d[\w.]*")
_QUOTED = re.compile(r"""(['"]).*?\1|\#.*""")
_DEFINITION = re.compile(r"(?:async\s+)?(?:def|class)\s+\w+\s*[(:]")


@dataclass(frozen=True, slots=True)
class Statement:
    """A logical line that begins outside of brackets and strings."""

    line: int
    indent: int
    text: str
    """Its first physical line, without indentation."""

    @property
    def opens_code(self) -> bool:
        """True for a line that begins code even amid prose: an import, a definition, a decorator, an
        assignment."""
        return _opens(self.text)


@dataclass(slots=True)
class Source:
    """What an outline found."""

    statements: list[Statement] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Bound at top level: functions, classes, assignments, imports."""
    functions: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)
    """Methods by class."""
    calls: dict[str, set[str]] = field(default_factory=dict)
    """Words in the body of each top-level function."""
    words: set[str] = field(default_factory=set)
    """Every identifier outside of strings and comments."""


def looks_like_code(line: str) -> bool:
    """Whether a line at the margin is Python rather than prose. Empty lines, comments and brackets are."""
    text = line.strip()
    if not text or text[0] in "#)]}'\"@" or line[:1].isspace():
        return True
    if _IMPORT.match(text) or _BLOCK.match(text) or _SIMPLE.match(text):
        return not _reads_as_prose(text)
    return bool(_STORE.match(text) or _CALL.match(text)) and not _reads_as_prose(text)


def _reads_as_prose(text: str) -> bool:
    """Two names in a row, neither a keyword, with nothing but space between them: Python has no such
    thing."""
    words = _PIECE.findall(_QUOTED.sub('""', text))
    return any(_is_name(a) and _is_name(b) for a, b in pairwise(words))


def _is_name(piece: str) -> bool:
    return piece.isidentifier() and not keyword.iskeyword(piece) and piece not in ("match", "case", "type", "print")


def _opens(text: str) -> bool:
    if _IMPORT.match(text) or text.startswith("@"):
        return not _reads_as_prose(text)
    if _DEF.match(text) or _CLASS.match(text):
        return bool(_BLOCK.match(text))
    return bool(_ASSIGN.match(text)) and looks_like_code(text)


def outline(text: str) -> Source:
    """Scans `text` once. Never raises."""
    source = Source()
    _scan(text, source)
    owner, inner = "", 0
    for s in source.statements:
        if s.indent == 0:
            owner, inner = _top_level(s, source), 0
        elif owner and (method := _DEF.match(s.text)):
            inner = inner or s.indent
            if s.indent == inner:
                source.classes[owner].append(method.group(1))
    return source


def _scan(text: str, source: Source) -> None:
    """Collects statements and words; `calls` too, as words are met inside a top-level function."""
    depth = line = 0
    start, fresh, function = 0, True, ""
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if fresh and kind not in ("line", "comment", "join"):
            first = text.find("\n", start)
            physical = text[start : first if first >= 0 else len(text)]
            body = physical.lstrip()
            statement = Statement(line, len(physical) - len(body), body)
            source.statements.append(statement)
            fresh = False
            if statement.indent == 0:
                defined = _DEF.match(body)
                function = defined.group(1) if defined else ""
        if kind == "word":
            source.words.add(token.group())
            if function:
                source.calls.setdefault(function, set()).add(token.group())
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
    """A definition at the margin ends brackets that were never closed: prose and cut-off lines leave such."""
    return _DEFINITION.match(text, at) is not None


def _top_level(s: Statement, source: Source) -> str:
    """Books what a statement at the margin binds; answers with the class that it opens, if it opens one."""
    if found := _DEF.match(s.text):
        source.functions.append(found.group(1))
        source.names.add(found.group(1))
        return ""
    if found := _CLASS.match(s.text):
        source.classes.setdefault(found.group(1), [])
        source.names.add(found.group(1))
        return found.group(1)
    if _IMPORT.match(s.text):
        for part in re.split(r"\bimport\b", s.text, maxsplit=1)[-1].strip("() ").split(","):
            words = part.split()
            if words:
                source.names.add(words[-1].split(".")[0])
    elif found := _ASSIGN.match(s.text):
        source.names.update(re.findall(r"[^\W\d]\w*", found.group(1)))
    return ""
