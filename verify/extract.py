"""Finds the program in a completion, without executing, compiling or parsing any of it.

Completions are as hostile as the programs in them: everything here is a few linear passes of regular expressions over
bounded text, because Python's own parser can be made to run for minutes or to overflow the stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from verify.end_tokens import without_end_tokens
from verify.fences import Block, fenced
from verify.source import Source, bare_code, looks_like_code, outline
from verify.thinking import after_thinking

MAX_TEXT = 4 << 20
"""Most characters of a completion that is read."""

_INLINE = re.compile(r"(`{1,3})(?:python|py)?[ \t]*+((?:async[ \t]+)?def[ \t]+\w++[ \t]*+\([^`\n]*+)\1")
_READS = {"input", "stdin", "raw_input", "fileinput", "open"}
_PRINTS = {"print", "stdout", "write", "writelines"}


@dataclass(frozen=True, slots=True)
class Extraction:
    """The program in a completion, or the reason why there is none."""

    code: str | None
    reason: str = ""
    """Why there is no code; "" if there is."""
    complete: bool = True
    """False if the text ended inside the program: its fence was not closed, or it had none."""


def extract_code(text: str, entry_point: str = "") -> Extraction:
    """The program that a completion proposes for `entry_point` ("" for a whole program that reads standard input).

    Among several blocks, the last one that defines the entry point counts, preceded by earlier blocks that it needs. A
    method of a class is made callable under the entry point's name, as is a function of another name if it is the only
    plausible one. Among whole programs, the last one that reads its input counts, together with the blocks that it
    needs or that run it. Never raises, never executes anything.
    """
    if len(text) > MAX_TEXT:
        return Extraction(None, f"the completion has {len(text)} characters; the limit is {MAX_TEXT}")
    answer = after_thinking(text.replace("\r\n", "\n").replace("\r", "\n"))
    if answer is None:
        return Extraction(None, "the completion ends inside its thinking", complete=False)
    answer = without_end_tokens(answer)
    blocks = fenced(answer)
    if not blocks:
        blocks = [Block(m.group(2)) for m in _INLINE.finditer(answer)] or _bare(answer)
    if not blocks:
        return Extraction(None, "there is no code in the completion")
    return _defining(blocks, entry_point) if entry_point else _whole_program(blocks)


def _bare(text: str) -> list[Block]:
    """Code without a fence: from the first line that is clearly code to the last statement that is."""
    span = bare_code(text)
    if span is None:
        return []
    lines = text.split("\n")
    return [Block("\n".join(lines[slice(*span)]) + "\n", closed=span[1] < len(lines))]


def _defining(blocks: list[Block], entry_point: str) -> Extraction:
    if len(blocks) == 1 and _plainly_defines(blocks[0].text, entry_point):
        return Extraction(blocks[0].text, complete=blocks[0].closed)
    sources = [outline(block.text) for block in blocks]
    order = sorted(range(len(blocks)), key=lambda i: (blocks[i].python, i), reverse=True)
    for find in (_defines, _method_of, _renamed):
        for i in order:
            if (adapter := find(sources[i], entry_point)) is not None:
                code = "".join([blocks[j].text for j in _needed_before(i, blocks, sources)]) + blocks[i].text
                return Extraction(code + adapter, complete=blocks[i].closed)
    best = order[0]
    if not blocks[best].closed:
        return Extraction(None, f"the completion ends before it defines {entry_point}", complete=False)
    return Extraction(None, f"no block defines {entry_point}, nor a single function that could be meant by it")


def _plainly_defines(text: str, entry_point: str) -> bool:
    """Whether a text without multi-line strings has an unindented definition, which then must be a real one.

    Spares most programs the outline, which costs more than all other steps of the trusted side together.
    """
    if '"""' in text or "'''" in text or "\\\n" in text:
        return False
    return re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(entry_point)}[ \t]*\(", text, re.MULTILINE) is not None


def _whole_program(blocks: list[Block]) -> Extraction:
    """The last block that reads input; failing that, the last that prints; failing that, the last that is code."""
    if len(blocks) == 1:
        return Extraction(blocks[0].text, complete=blocks[0].closed)
    sources = [outline(block.text) for block in blocks]
    python = [i for i, block in enumerate(blocks) if block.python] or list(range(len(blocks)))
    code = [i for i in python if _is_code(sources[i])]

    def rank(i: int) -> tuple[bool, bool, int]:
        return bool(sources[i].words & _READS), bool(sources[i].words & _PRINTS), i

    best = max(code, key=rank) if code else python[-1]
    parts = [best]
    if code:
        parts = [*_definitions_before(best, code, sources), best, *_run_after(best, code, sources)]
    text = "".join([blocks[i].text for i in parts])
    return Extraction(text, complete=all(blocks[i].closed for i in parts))


def _is_code(source: Source) -> bool:
    """Whether every unindented statement looks like Python; the sample output of a program does not."""
    statements = [s for s in source.statements if s.indent == 0]
    return bool(statements) and all(looks_like_code(s.text) and not s.text.startswith(">>>") for s in statements)


def _definitions_before(best: int, code: list[int], sources: list[Source]) -> list[int]:
    """Earlier blocks that consist of definitions, among them some that the program uses but lacks."""
    missing = sources[best].words - sources[best].names - sources[best].local_names
    needed: list[int] = []
    for i in reversed([i for i in code if i < best and not sources[i].acts]):
        if sources[i].names & missing:
            needed.append(i)
            missing = (missing | (sources[i].words - sources[i].local_names)) - sources[i].names
    return needed[::-1]


def _run_after(best: int, code: list[int], sources: list[Source]) -> list[int]:
    """Later blocks that run a program which does nothing by itself, up to the first one that acts."""
    added: list[int] = []
    names = set(sources[best].names)
    if sources[best].acts and sources[best].words & _PRINTS:
        return added
    for i in code:
        if i > best and sources[i].words & names:
            added.append(i)
            names |= sources[i].names
            if sources[i].acts:
                break
    return added


def _needed_before(index: int, blocks: list[Block], sources: list[Source]) -> list[int]:
    """Earlier blocks that define names which the chosen one uses but lacks, transitively; in order."""
    needed: list[int] = []
    words, defined = set(sources[index].words), set(sources[index].names)
    for i in reversed(range(index)):
        offers = sources[i].names - defined
        if blocks[i].python and blocks[i].closed and not offers.isdisjoint(words):
            needed.append(i)
            words |= sources[i].words
            defined |= sources[i].names
    return needed[::-1]


def _defines(source: Source, entry_point: str) -> str | None:
    return "" if entry_point in source.names else None


def _method_of(source: Source, entry_point: str) -> str | None:
    """Code that makes a method of `class Solution` callable; in any other class the method's name must match."""
    for name, methods in source.classes.items():
        public = [m for m in methods if not m.startswith("_")]
        same = [m for m in public if _plain(m) == _plain(entry_point)]
        chosen = same or (public if name == "Solution" and len(public) == 1 else [])
        if len(set(chosen)) == 1:
            return f"\n\ndef {entry_point}(*args, **kwargs):\n    return {name}().{chosen[0]}(*args, **kwargs)\n"
    return None


def _renamed(source: Source, entry_point: str) -> str | None:
    functions = [f for f in source.functions if not f.startswith("_") and not f.startswith("test") and f != "main"]
    plain = _plain(entry_point)
    chosen = set([f for f in functions if _plain(f) == plain] or functions)
    if len(chosen) > 1:
        # A helper is named in another function's body; the function that nothing else calls is the entry point.
        helpers = set().union(*[(source.calls.get(f, set()) & chosen) - {f} for f in set(functions)])
        chosen -= helpers
    if len(chosen) != 1:
        return None
    return f"\n\n{entry_point} = {chosen.pop()}\n"


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
