"""Converts the test layouts of public code benchmarks to the product's own tests.

Each reader takes a row and returns the fields of a problem that depend on the layout: kind, entry point, signature,
public examples and hidden tests. Tests that a benchmark shows to the solver become public, the others hidden.
"""

from __future__ import annotations

import ast
import base64
import builtins
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from problems import cells, json_text
from problems.boxes import Box, boxes, outermost
from problems.pickled_text import pickled_text
from problems.problem import Test
from problems.python_code import CodeError, parse
from problems.rows import Row, SourceError, column

BIGGEST_CASES = 256 * 2**20
"""Maximum bytes of decompressed test cases."""


_BETWEEN = re.compile(
    r"(?:[\s$,;:&~]|\\[\\,;:!()\[\] ]|\\(?:quad|qquad)\b|\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b"
    r"|\\?[A-Za-z]+(?:_\{?\w+\}?)?\s*(?:=|\\in\b))*",
    re.IGNORECASE,
)
"""Text that may be between two boxes of one answer: commas, and, or, `x =`."""
_NAMED = re.compile(r"(\\?[A-Za-z]+)(?:_\{?\w+\}?)?\s*=[\s$]*$")
_FAR = 80
"""Maximum characters between two boxes of one answer."""
_NOT = re.compile(r"\bnot\s*\$?\s*$", re.IGNORECASE)


def boxed_answer(text: str) -> str:
    """The whole boxed answer of a worked solution.

    Several boxes with only commas, "and", "or" or `x =` between them are one answer, `3, 8`; so is a last box that
    repeats the boxes before it. Raises ValueError if there is no box, or if it is unclear which of several is the
    answer.
    """
    every = outermost(boxes(text))
    found = [b for b in every if b.braced(text) and not _NOT.search(text[max(0, b.start - 20) : b.start])]
    if not found:
        unbraced = [box.content(text) for box in every if not box.braced(text)]
        if len(set(unbraced)) == 1:
            return unbraced[0]
        raise ValueError("has no \\boxed answer" if not unbraced else "has several \\boxed answers without braces")
    size = 1
    while size < len(found) and _joins(text[found[-size - 1].end : found[-size].start]):
        size += 1
    contents = [" ".join(box.content(text).split()) for box in found]
    members = list(dict.fromkeys(contents[-size:]))
    answer = ", ".join(members)
    known = {*members, *(part.strip() for part in answer.split(","))}
    stray = [content for content in contents if content not in known]
    if len(members) > 1 and not stray and not _is_one_list(text, found[-size:]):
        stray = members[:-1]
    if stray:
        raise ValueError(
            f"has several \\boxed answers that are not one list, {stray[-1][:40]!r} and {members[-1][:40]!r}: which is "
            "the answer, or how they belong together, is unclear"
        )
    return answer if len(members) > 1 else found[-1].content(text)


def _joins(between: str) -> bool:
    return len(between) <= _FAR and _BETWEEN.fullmatch(between) is not None


def _is_one_list(text: str, group: list[Box]) -> bool:
    """Whether consecutive boxes are the members of one list: they have at most one name (apart from indices), and are
    not an ordered pair."""
    before = [text[max(0, box.start - _FAR) : box.start] for box in group]
    names = {match[1] for part in before if (match := _NAMED.search(part))}
    return len(names) <= 1 and not re.search(r"(?<!\\)[(\[]\s*$", before[0])


def humaneval(row: Row) -> dict[str, Any]:
    """HumanEval: `test` defines check(candidate), to be called with the function named in `entry_point`.

    Other definitions of the prompt belong to the problem: tests use them, and solutions may.
    """
    entry = str(column(row, "entry_point"))
    source = f"{column(row, 'test')}\n\ncheck({entry})\n"
    _parse(row, "test", source)
    return {
        "kind": "assert",
        "entry_point": entry,
        "signature": "",
        "public_examples": (),
        "hidden_tests": (Test((source,), None),),
        "preamble": preamble(str(column(row, "prompt")), entry),
    }


def preamble(prompt: str, entry: str) -> str:
    """The imports, helpers and constants of a prompt that is the start of a program; "" if it is not code.

    Without the function to write and without mere declarations, which the solution must define.
    """
    for ending in ("", "    pass\n", "\n    pass\n"):
        try:
            statements = parse(prompt + ending).body
        except CodeError:
            continue
        kept = [s for s in statements if getattr(s, "name", None) != entry and not _only_declared(s)]
        return "\n".join(ast.unparse(s) for s in kept)
    return ""


def _only_declared(statement: ast.stmt) -> bool:
    """True for an expression that is only text, and for a function or class with nothing but a docstring."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return all(isinstance(s, ast.Pass) or _only_declared(s) for s in statement.body)
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def mbpp(row: Row) -> dict[str, Any]:
    """MBPP: `test_list` holds assert statements. The first is shown, because only the tests name the function."""
    tests = list(column(row, "test_list"))
    challenge = list(row.values.get("challenge_test_list") or ())
    imports = row.values.get("test_imports") or row.values.get("test_setup_code") or ""
    setup = "\n".join(imports) if isinstance(imports, list) else imports
    sources = [f"{setup}\n{test}".strip() for test in [*tests, *challenge]]
    if len(sources) < 2:
        raise SourceError(f"{row.place}: {len(sources)} tests are too few to show one and score another")
    for source in sources:
        _parse(row, "test_list", source)
    hidden = [source for source in dict.fromkeys(sources[1:]) if source != sources[0]]
    return {
        "kind": "assert",
        "entry_point": _called(sources[0]),
        "signature": "",
        "public_examples": (Test((sources[0],), None),),
        "hidden_tests": tuple(Test((source,), None) for source in hidden),
    }


def livecodebench(row: Row) -> dict[str, Any]:
    """LiveCodeBench: public and private cases as JSON, mostly compressed if private; stdin or function calls."""
    public = _cases(row, "public_test_cases")
    shown = {(c["input"], c["output"]) for c in public}
    hidden = [c for c in _cases(row, "private_test_cases") if (c["input"], c["output"]) not in shown]
    if not hidden:
        raise SourceError(f"{row.place}: every private test case is public too, so nothing could be scored")
    if {c.get("testtype", "stdin") for c in (*public, *hidden)} == {"functional"}:
        entry, signature = _method(row)
        read = _function_case
        kind = "function"
    else:
        entry, signature, kind = "", "", "stdin"
        read = _stdin_case
    return {
        "kind": kind,
        "entry_point": entry,
        "signature": signature,
        "public_examples": tuple(read(row, c) for c in public),
        "hidden_tests": tuple(read(row, c) for c in hidden),
    }


READERS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "humaneval": humaneval,
    "mbpp": mbpp,
    "livecodebench": livecodebench,
}

_TEXTS = {"humaneval": ("test", "entry_point")}
"""Columns of a layout that are texts."""
_LISTS = {"mbpp": ("test_list",)}
"""Columns of a layout that are lists of texts, also in the notation of tables."""


def tests_of(layout: str, row: Row) -> dict[str, Any]:
    """The fields of a problem that depend on its tests. Raises SourceError for cells of another type."""
    values = dict(row.values)
    for name in _TEXTS.get(layout, ()):
        if not isinstance(found := column(row, name), str) or not found.strip():
            raise SourceError(f"{row.place}: column {name!r} holds no text")
    for name in _LISTS.get(layout, ()):
        found = cells.as_list(column(row, name))
        if found is None or not all(isinstance(item, str) for item in found):
            raise SourceError(f"{row.place}: column {name!r} is no list of texts")
        values[name] = found
    return READERS[layout](replace(row, values=values))


def _parse(row: Row, name: str, source: str) -> ast.Module:
    try:
        return parse(source)
    except CodeError as error:
        raise SourceError(f"{row.place}: the code in column {name!r} is not Python: {error}") from None


def _called(source: str) -> str:
    """The function that an assert statement calls: the first name called that is not a builtin."""
    calls = [n.func.id for n in ast.walk(parse(source)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    own = [name for name in calls if not hasattr(builtins, name)]
    return own[0] if own else ""


def _cases(row: Row, name: str) -> list[dict[str, Any]]:
    text = column(row, name)
    try:
        cases = text if isinstance(text, list) else json_text.loads(text)
    except (TypeError, ValueError):
        try:
            cases = json_text.loads(_unpack(str(text)))
        except (TypeError, ValueError, MemoryError, zlib.error) as error:
            raise SourceError(f"{row.place}: column {name!r} holds no test cases ({error})") from None
    if not isinstance(cases, list) or not all(isinstance(c, dict) and {"input", "output"} <= c.keys() for c in cases):
        raise SourceError(f"{row.place}: column {name!r} is no list of cases with input and output")
    return cases


def _unpack(text: str) -> str:
    """Decodes the benchmark's private cases: base64 of a zlib stream of a pickled string."""
    stream = zlib.decompressobj()
    packed = stream.decompress(base64.b64decode(text), BIGGEST_CASES)
    if stream.unconsumed_tail:
        raise ValueError(f"unpacks to more than {BIGGEST_CASES} bytes")
    return pickled_text(packed)


def _method(row: Row) -> tuple[str, str]:
    """Entry point and signature of a starter `class Solution`, without `self`."""
    tree = _parse(row, "starter_code", f"{column(row, 'starter_code').rstrip()}\n        pass\n")
    wanted = _metadata(row).get("func_name")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and wanted in (None, node.name):
            arguments = [a for a in node.args.args if a.arg != "self"]
            slots = ", ".join(f"{a.arg}: {ast.unparse(a.annotation)}" if a.annotation else a.arg for a in arguments)
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            return node.name, f"def {node.name}({slots}){returns}:"
    raise SourceError(f"{row.place}: the starter code defines no function {wanted or ''}".rstrip())


def _metadata(row: Row) -> dict[str, Any]:
    found = row.values.get("metadata") or "{}"
    return json_text.loads(found) if isinstance(found, str) else dict(found)


def _function_case(row: Row, case: dict[str, Any]) -> Test:
    """Arguments are JSON, one per line, and so is the value."""
    try:
        args = tuple(json_text.loads(line) for line in case["input"].split("\n") if line.strip())
        return Test(args, json_text.loads(case["output"]))
    except ValueError as error:
        raise SourceError(f"{row.place}: a functional test case is not JSON: {error}") from None


def _stdin_case(row: Row, case: dict[str, Any]) -> Test:
    return Test((case["input"],), case["output"])
