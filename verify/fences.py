"""Splits a completion into fenced blocks, including irregular fences that models write.

One pass over the lines. A fence may follow the last statement of its block on the same line, may be followed by prose
or an end token, may open inside another block, and may lack its counterpart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from verify.end_tokens import END_TOKEN, without_end_tokens
from verify.source import bare_code, looks_like_code

_BEGINS_WITH_END = re.compile(rf"[ \t]*+{END_TOKEN}")
_FENCE = re.compile(r"([ \t>]*+)(`{3,}+|~{3,}+)[ \t]*+(.*)", re.DOTALL)
_LABEL = re.compile(r"\{?[ \t]*+\.?([\w+#.-]*+)\}?[ \t]*+(.*)", re.DOTALL)
_LABEL_BEHIND = re.compile(r"(?:python|py)[\d.]*\Z", re.IGNORECASE)
_CODE_ON_FENCE = re.compile(r"(?:def|class|import|from|async|print|for|while)\b|@\w")
_QUOTES = re.compile(r"""\\.|\"{3}|'{3}|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\#.*""", re.DOTALL)
_UNQUOTE = {
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""', re.DOTALL),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*+'''", re.DOTALL),
}
_PYTHON = {"", "py", "python", "python2", "python3", "py3", "ipython", "code", "sage", "pycon"}
_MARKDOWN = {"markdown", "md", "mdx", "commonmark"}
_SLACK = 3
"""Columns by which a closing fence may be indented more than its opening one."""
_DEPTH = 3
"""Levels of nested fences that are examined."""


@dataclass(frozen=True, slots=True)
class Block:
    """The text between two fences."""

    text: str
    label: str = ""
    """The first word after the opening fence, in lower case; "" if there is none."""
    closed: bool = True
    """False if the completion ended inside the block."""

    @property
    def python(self) -> bool:
        """Whether the label allows that it is Python."""
        return self.label in _PYTHON or _LABEL_BEHIND.fullmatch(self.label) is not None


def fenced(text: str, depth: int = _DEPTH) -> list[Block]:
    """The non-empty blocks of a text, in order. Never raises; linear in the text."""
    reader = _Reader()
    for line in text.split("\n"):
        reader.read(line)
        if reader.over:
            break
    reader.end()
    blocks: list[Block] = []
    for block in reader.blocks:
        inner = fenced(block.text, depth - 1) if depth and _wraps(block) else []
        blocks += inner or [block]
    return [block for block in blocks if block.text.strip()]


def _label(info: str) -> tuple[str, str]:
    """(Label in lower case, the rest) of the text after an opening fence."""
    found = _LABEL.match(info)
    return (found[1].lower(), found[2]) if found else ("", info)


def _wraps(block: Block) -> bool:
    """Whether a block without a Python label starts with a fence, or contains a fence with such a label."""
    if block.label in _PYTHON - {""} or ("```" not in block.text and "~~~" not in block.text):
        return False
    fences = [found for line in block.text.split("\n") if (found := _FENCE.match(line))]
    labels = [_label(found[3])[0] for found in fences]
    first = block.text.lstrip()
    return first.startswith(("```", "~~~")) or any(label in _PYTHON - {""} for label in labels)


@dataclass(slots=True)
class _Reader:
    """Reads lines and collects blocks."""

    blocks: list[Block] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    """Lines of the open block, or lines since the last block."""
    fence: str = ""
    """The characters of the opening fence; "" outside a block."""
    indent: str = ""
    label: str = ""
    quote: str = ""
    """The triple quotes that are open in the block."""
    nested: int = 0
    """Fences that were opened inside a string of the block."""
    outer: list[str] = field(default_factory=list)
    """Fences of enclosing Markdown blocks."""
    over: bool = False
    """True after a fence that is followed by an end token: the rest is not part of the answer."""

    def read(self, line: str) -> None:
        """Reads the next line."""
        if self.fence:
            self._inside(line)
        else:
            self._outside(line)

    def end(self) -> None:
        """Handles the end of the text."""
        if self.fence:
            self._close(closed=False)

    def _outside(self, line: str) -> None:
        found = _FENCE.match(line)
        if not found:
            return self._prose(line)
        indent, fence, info = found.groups()
        info = self._without_end_token(info)
        if fence[0] in info:
            self.body.append(line)
        elif _label(info)[0] in _MARKDOWN:
            self.outer.append(fence)
            self.body = []
        elif not info and self.outer and self.outer[-1][0] == fence[0] and len(fence) >= len(self.outer[-1]):
            self.outer.pop()
            self.body = []
        elif info or not self._close_unopened():
            self._open(indent, fence, info)

    def _prose(self, line: str) -> None:
        trailing = _trailing_fence(line)
        self.body.append(trailing[0] if trailing else line)
        if trailing and (trailing[2] or not self._close_unopened()):
            self._open("", trailing[1], trailing[2])

    def _inside(self, line: str) -> None:
        found = _FENCE.match(line)
        same = found and found[2][0] == self.fence[0]
        # No kind of fence is valid Python, so either kind ends a Python block.
        if found and (same or (self._is_python and not self.quote)) and len(found[1]) <= len(self.indent) + _SLACK:
            if self._at_fence(*found.groups()):
                return
        elif not found and (trailing := _trailing_fence(line)) and trailing[1][0] == self.fence[0]:
            before, fence, label = trailing
            if len(fence) >= len(self.fence) and not label and not self._open_quote(before):
                self.body.append(before)
                self._without_end_token(line[line.rindex(fence) + len(fence) :])
                return self._close()
        self.body.append(line)
        self.quote = self._open_quote(line)

    @property
    def _is_python(self) -> bool:
        return self.label != "" and (self.label in _PYTHON or _LABEL_BEHIND.fullmatch(self.label) is not None)

    def _at_fence(self, indent: str, fence: str, info: str) -> bool:
        """Ends the block, or starts the next one. False if the fence is just another line of the block."""
        info = self._without_end_token(info)
        label = _label(info)[0]
        alone = label == info.strip().lower()
        if self.quote and info:
            self.nested += alone
            return False
        if fence[0] in info or (len(fence) < len(self.fence) and (self.quote or not self._is_python)):
            return False
        if self.nested and not info:
            self.nested -= 1
            return False
        self._close()
        if info and (alone or label in _PYTHON):
            self._open(indent, fence, info)  # the previous block was never closed
        return True

    def _open_quote(self, line: str) -> str:
        """The triple quotes that are open at the end of a line of the block; "" if there are none."""
        quote, at = self.quote, 0
        while True:
            if quote:
                found = _UNQUOTE[quote].match(line, at)
                if not found:
                    return quote
                at = found.end()
            quote = ""
            for found in _QUOTES.finditer(line, at):
                if found.group() in _UNQUOTE:
                    quote, at = found.group(), found.end()
                    break
            else:
                return ""

    def _without_end_token(self, info: str) -> str:
        if not _BEGINS_WITH_END.match(info):
            return info
        self.over = True
        return ""

    def _open(self, indent: str, fence: str, info: str) -> None:
        self.fence, self.indent = fence, indent
        self.label, rest = _label(info)
        self.body = [rest] if _CODE_ON_FENCE.match(rest) else []
        self.quote, self.nested = "", 0

    def _close(self, closed: bool = True) -> None:
        self.blocks.append(Block(_dedent(self.body, self.indent), self.label, closed))
        self.fence = self.indent = self.label = self.quote = ""
        self.body, self.nested = [], 0

    def _close_unopened(self) -> bool:
        """Takes the code before a closing fence without an opening one as a block; False if there is no code."""
        last = next((line for line in reversed(self.body) if line.strip()), "")
        span = bare_code("\n".join(self.body)) if last and looks_like_code(last) else None
        if span is None or any(line.strip() for line in self.body[span[1] :]):
            return False
        self.body = self.body[slice(*span)]
        self._close()
        return True


def _trailing_fence(line: str) -> tuple[str, str, str] | None:
    """(Text before it, fence, label) of a fence at the end of a line that starts with other text; else None."""
    if "```" not in line and "~~~" not in line:
        return None
    text = without_end_tokens(line)
    found = _LABEL_BEHIND.search(text, max(0, len(text) - 12))
    label = found.group() if found else ""
    text = text[: len(text) - len(label)].rstrip()
    before = text.rstrip(text[-1:]) if text[-1:] in ("`", "~") else text
    fence = text[len(before) :]
    if len(fence) < 3 or not before.strip() or len(re.findall(f"{fence[0]}{{3,}}", before)) % 2:
        return None
    return before.rstrip(), fence, label.lower()


def _dedent(lines: list[str], indent: str) -> str:
    """Removes the fence's own indentation (of a list item or a quotation) from every line that has it."""
    if indent:
        lines = [line.removeprefix(indent) if line.strip() else "" for line in lines]
        margin = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
        lines = [line[margin:] for line in lines]
    return "\n".join(lines) + "\n"
