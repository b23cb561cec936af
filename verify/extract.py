"""Finds the program in a completion, without executing, compiling or parsing any of it.

Completions are hostile input like the programs in them: everything here is a few linear passes of regular
expressions over bounded text, because Python's own parser can be made to take minutes, or the stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from verify.source import Source, looks_like_code, outline
from verify.thinking import after_thinking

MAX_TEXT = 4 << 20
"""Characters of a completion that are looked at."""

_OPENING = re.compile(r"^([ \t>]*)(`{3,}|~{3,})[ \t]*(.*)$")
_LABEL = re.compile(r"^\{?[ \t]*\.?([\w+#.-]*)[ \t]*([^\n]*)$")
_PYTHON = {"", "py", "python", "python2", "python3", "py3", "ipython", "code", "sage", "pycon"}
_CODE_ON_FENCE = re.compile(r"(?:def|class|import|from|async|print|for|while)\b|@\w")
_INLINE = re.compile(r"(`{1,3})(?:python|py)?[ \t]*((?:async[ \t]+)?def[ \t]+\w+[ \t]*\([^`\n]*)\1")


@dataclass(frozen=True, slots=True)
class Extraction:
    """The program of a completion, or why there is none."""

    code: str | None
    reason: str = ""
    """Why there is no code; "" where there is."""
    complete: bool = True
    """False where the text ended inside the program: its fence was never closed, or it had none."""


@dataclass(frozen=True, slots=True)
class _Block:
    text: str
    python: bool
    closed: bool


def extract_code(text: str, entry_point: str = "") -> Extraction:
    """The program that a completion proposes for `entry_point` ("" for a whole program on standard input).

    Of several blocks the last that defines the entry point counts, with earlier blocks that it needs put
    before it. A method of a class is made callable under the entry point's name, as is a function of another
    name where it is the only plausible one. Never raises, never executes anything.
    """
    if len(text) > MAX_TEXT:
        return Extraction(None, f"the completion has {len(text)} characters; {MAX_TEXT} are looked at")
    answer = after_thinking(text.replace("\r\n", "\n").replace("\r", "\n"))
    if answer is None:
        return Extraction(None, "the completion ends inside its thinking", complete=False)
    blocks = _fenced(answer)
    if not blocks:
        blocks = [_Block(m.group(2), True, True) for m in _INLINE.finditer(answer)] or _bare(answer)
    if not blocks:
        return Extraction(None, "there is no code in the completion")
    return _choose(blocks, entry_point)


def _fenced(text: str) -> list[_Block]:
    blocks: list[_Block] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        opening = _OPENING.match(lines[at])
        at += 1
        if not opening:
            continue
        indent, fence, info = opening.groups()
        if fence[0] in info:
            continue
        label, rest = _LABEL.match(info).groups()
        closing = re.compile(rf"^[ \t>]{{0,{len(indent) + 3}}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
        body = [rest] if _CODE_ON_FENCE.match(rest) else []
        closed = False
        while at < len(lines) and not closed:
            closed = closing.match(lines[at]) is not None
            if not closed:
                body.append(lines[at])
            at += 1
        blocks.append(_Block(_dedent(body, indent), label.lower().rstrip("}") in _PYTHON, closed))
    return [b for b in blocks if b.text.strip()]


def _dedent(lines: list[str], indent: str) -> str:
    """Takes the fence's own indentation (a list item's, a quotation's) off every line that has it."""
    if indent:
        lines = [line.removeprefix(indent) if line.strip() else "" for line in lines]
        margin = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
        lines = [line[margin:] for line in lines]
    return "\n".join(lines) + "\n"


def _bare(text: str) -> list[_Block]:
    """Code without a fence: from the first line that is plainly code to the last statement that is."""
    lines = text.split("\n")
    source = outline(text)
    statements = [s for s in source.statements if s.indent == 0]
    start = next((s.line for s in statements if s.opens_code), None)
    if start is None:
        return []
    end = len(lines)
    for s in statements:
        if s.line > start and not looks_like_code(s.text):
            end = s.line
            break
    return [_Block("\n".join(lines[start:end]) + "\n", True, end < len(lines))]


def _choose(blocks: list[_Block], entry_point: str) -> Extraction:
    if len(blocks) == 1 and entry_point and _plainly_defines(blocks[0].text, entry_point):
        return Extraction(blocks[0].text, complete=blocks[0].closed)
    sources = [outline(block.text) for block in blocks]
    if not entry_point:
        best = _whole_program(blocks)
        return Extraction(blocks[best].text, complete=blocks[best].closed)
    order = sorted(range(len(blocks)), key=lambda i: (blocks[i].python, i), reverse=True)
    for find in (_defines, _method_of, _renamed):
        for i in order:
            if (adapter := find(sources[i], entry_point)) is not None:
                code = "".join([blocks[j].text for j in _needed_before(i, blocks, sources)]) + blocks[i].text
                return Extraction(code + adapter, complete=blocks[i].closed)
    best = order[0]
    if not blocks[best].closed:
        return Extraction(None, f"the completion ends before it defines {entry_point}", complete=False)
    return Extraction(None, f"no block defines {entry_point}, or one function that could be meant by it")


def _plainly_defines(text: str, entry_point: str) -> bool:
    """Whether a definition is seen at the margin of a text in which no string runs over a line: then it is one.

    Spares most programs the outline, which costs more than all other steps of the trusted side together.
    """
    if '"""' in text or "'''" in text or "\\\n" in text:
        return False
    return re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(entry_point)}[ \t]*\(", text, re.MULTILINE) is not None


def _whole_program(blocks: list[_Block]) -> int:
    python = [i for i, b in enumerate(blocks) if b.python] or range(len(blocks))
    return max(python, key=lambda i: (any(map(looks_like_code, blocks[i].text.splitlines())), i))


def _needed_before(index: int, blocks: list[_Block], sources: list[Source]) -> list[int]:
    """Earlier blocks that define names which the chosen one uses and lacks, and so on; in their order."""
    needed: list[int] = []
    words, defined = set(sources[index].words), set(sources[index].names)
    for i in reversed(range(index)):
        offers = sources[i].names - defined
        if blocks[i].python and blocks[i].closed and offers & words:
            needed.append(i)
            words |= sources[i].words
            defined |= sources[i].names
    return needed[::-1]


def _defines(source: Source, entry_point: str) -> str | None:
    return "" if entry_point in source.names else None


def _method_of(source: Source, entry_point: str) -> str | None:
    """Makes `class Solution`'s method callable; a class of another name must have a method of the right
    name."""
    for name, methods in source.classes.items():
        public = [m for m in methods if not m.startswith("_")]
        same = [m for m in public if _plain(m) == _plain(entry_point)]
        chosen = same or (public if name == "Solution" and len(public) == 1 else [])
        if len(set(chosen)) == 1:
            return f"\n\ndef {entry_point}(*args, **kwargs):\n    return {name}().{chosen[0]}(*args, **kwargs)\n"
    return None


def _renamed(source: Source, entry_point: str) -> str | None:
    functions = [f for f in source.functions if not f.startswith("_") and not f.startswith("test") and f != "main"]
    same = [f for f in functions if _plain(f) == _plain(entry_point)]
    chosen = same or functions
    if len(set(chosen)) > 1:
        # A helper is named in another function's body; what nothing else calls is the program's way in.
        chosen = [f for f in set(chosen) if not any(f in source.calls.get(g, ()) for g in functions if g != f)]
    if len(set(chosen)) != 1:
        return None
    return f"\n\n{entry_point} = {chosen[0]}\n"


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
