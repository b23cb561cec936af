"""Converts tests given as inputs with outputs, in the spellings of public data sets, to the product's own tests.

{"inputs": ["3 4\\n"], "outputs": ["12\\n"], "fn_name": "mul"}      APPS, TACO; as JSON text too; `input`, `output`
[{"input": [5, 0, 3], "output": 3}, {"input_args": [..], "expected_output": 3}, {"input": "1\\n", "expected": "2\\n"}]
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from problems import cells, json_text
from problems.problem import Kind, Test, encode_value
from problems.python_code import CodeError, parse
from problems.rows import Row, SourceError, column

INPUTS = ("inputs", "input", "input_args", "args", "stdin")
OUTPUTS = ("outputs", "output", "expected_output", "expected", "stdout")
NAMES = ("fn_name", "func_name", "entry_point", "function_name")
"""Keys next to the inputs that name a function to call."""
SELF = ("self", "cls")


class CasesMapping(BaseModel):
    """Columns that hold the tests of a program."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: tuple[str, ...] = ("input_output",)
    """Columns with scored tests."""
    shown: tuple[str, ...] = ()
    """Columns with tests that are shown and not scored."""
    show: int = Field(default=0, ge=0)
    """Number of first tests of `hidden` to show instead of scoring; at least one is always scored."""
    signature: str = ""
    """Column with the line `def name(...)` of the function to write, or a class with that method."""


def input_output(row: Row, mapping: CasesMapping, kind: Kind) -> dict[str, Any]:
    """The fields of a problem that depend on its tests. If a row names a function, its tests call it.

    Raises SourceError for malformed tests, and for calls that do not fit the signature.
    """
    read = [_cases(row, name) for name in mapping.hidden]
    public = [case for name in mapping.shown for case in _cases(row, name)[0]]
    cases = [case for found, _ in read for case in found]
    named = next((name for _, name in read if name), "")
    entry, signature, function = "", "", None
    if named or kind == "function":
        kind = "function"
        function = _function(row, mapping, named)
        entry, signature = function.name, _signature(function)
    make = _stdin_test if function is None else lambda row, case: _call(row, case, function)
    if function is not None and named and _wrapped(row, function, cases):
        cases = [(args, value[0]) for args, value in cases]
    hidden = _distinct(make(row, case) for case in cases)
    shown = _distinct(make(row, case) for case in public)
    cut = min(mapping.show, max(len(hidden) - 1, 0))
    shown, hidden = [*shown, *hidden[:cut]], hidden[cut:]
    known = {_key(test) for test in shown}
    hidden = [test for test in hidden if _key(test) not in known]
    if not hidden:
        raise SourceError(f"{row.place}: columns {', '.join(mapping.hidden)} hold no test that could be scored")
    return {
        "kind": kind,
        "entry_point": entry,
        "signature": signature,
        "public_examples": tuple(shown),
        "hidden_tests": tuple(hidden),
    }


def declared(row: Row, mapping: CasesMapping) -> dict[str, Any]:
    """The entry point and the signature alone, of a row without tests. Raises SourceError if it has no signature."""
    function = _function(row, mapping, "")
    return {"entry_point": function.name, "signature": _signature(function)}


def _cases(row: Row, name: str) -> tuple[list[tuple[Any, Any]], str]:
    """(input, output) of each test in a column, and the function that the column names."""
    found = column(row, name)
    if isinstance(found, str):
        try:
            found = json_text.loads(found)
        except ValueError as error:
            raise SourceError(f"{row.place}: column {name!r} holds no tests in JSON ({str(error)[:100]})") from None
    if found is None:
        return [], ""
    if isinstance(found, Mapping):
        inputs, outputs = (found.get(_key_of(row, name, found, keys)) for keys in (INPUTS, OUTPUTS))
        if not isinstance(inputs, list) and not isinstance(outputs, list):
            inputs, outputs = [inputs], [outputs]
        if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
            raise SourceError(f"{row.place}: column {name!r} has not as many inputs as outputs, each in a list")
        called = next((found[key] for key in NAMES if found.get(key)), "")
        return list(zip(inputs, outputs, strict=True)), str(called)
    if not isinstance(found, list) or not all(isinstance(case, Mapping) for case in found):
        raise SourceError(f"{row.place}: column {name!r} is neither a list of tests nor lists of inputs and outputs")
    called = {str(case[key]) for case in found for key in NAMES if case.get(key)}
    if len(called) > 1:
        raise SourceError(f"{row.place}: column {name!r} calls several functions: {', '.join(sorted(called))}")
    pairs = [(c[_key_of(row, name, c, INPUTS)], c[_key_of(row, name, c, OUTPUTS)]) for c in found]
    return pairs, str(next(iter(called), ""))


def _key_of(row: Row, name: str, case: Mapping[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        if key in case:
            return key
    raise SourceError(
        f"{row.place}: a test in column {name!r} has none of {', '.join(keys)}, only {', '.join(map(str, case))}"
    )


def _stdin_test(row: Row, case: tuple[Any, Any]) -> Test:
    return Test((_lines(row, case[0]),), _lines(row, case[1]))


def _lines(row: Row, value: Any) -> str:
    """Text of standard input or output, given as text or as a list of lines."""
    try:
        return "\n".join(map(cells.plain, value)) if isinstance(value, list) else cells.plain(value)
    except cells.CellError as error:
        raise SourceError(f"{row.place}: a test's input or output {error}".replace("COLUMN.0", "one")) from None


def _function(row: Row, mapping: CasesMapping, named: str) -> ast.FunctionDef:
    """The function to write, from its signature. Raises SourceError if there is none."""
    source = str(column(row, mapping.signature) or "") if mapping.signature else ""
    lines = source.rstrip()
    last = lines.rpartition("\n")[2]
    body = f"\n{last[: len(last) - len(last.lstrip())]}    pass\n"
    for text in (source, lines + body, f"{lines}:{body}"):
        try:
            tree = parse(text)
        except CodeError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and named in ("", node.name):
                return node
        break
    wanted = f"the function {named}" if named else "a function"
    where = f"column {mapping.signature!r}" if mapping.signature else "no column (set `cases.signature`)"
    raise SourceError(f"{row.place}: the tests call {wanted}, and {where} gives its signature")


def _parameters(function: ast.FunctionDef) -> list[ast.arg]:
    return [a for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in SELF]


def _signature(function: ast.FunctionDef) -> str:
    own = copy.deepcopy(function)
    own.body, own.decorator_list = [ast.Pass()], []
    for arguments in (own.args.posonlyargs, own.args.args):
        arguments[:] = [a for a in arguments if a.arg not in SELF]
    return ast.unparse(own).partition("\n")[0]


def _call(row: Row, case: tuple[Any, Any], function: ast.FunctionDef) -> Test:
    """A test that calls the function, with a list of arguments, an object by name, or one JSON value per line."""
    given, expected = case
    names = [a.arg for a in _parameters(function)]
    if isinstance(given, str) and names and not (len(names) == 1 and _annotation(function) == "str"):
        try:
            given = [json_text.loads(line) for line in given.split("\n") if line.strip()]
            expected = json_text.loads(expected) if isinstance(expected, str) else expected
        except ValueError:
            raise SourceError(f"{row.place}: a test's arguments {given[:60]!r} are not JSON, one a line") from None
    if isinstance(given, Mapping) and given and set(given) == set(names[: len(given)]):
        args = [given[name] for name in names[: len(given)]]
    else:
        args = given if isinstance(given, list) else [given]
        if len(names) == 1 and function.args.vararg is None and (len(args) != 1 or _is_the_list(function, args)):
            args = [args]
    least = len(names) - len(function.args.defaults)
    if not least <= len(args) or (len(args) > len(names) and function.args.vararg is None):
        raise SourceError(
            f"{row.place}: a test gives {len(args)} arguments, and {function.name} takes {', '.join(names) or 'none'}"
        )
    return Test(tuple(args), expected)


def _annotation(function: ast.FunctionDef, returns: bool = False) -> str:
    """The annotation of the only parameter, or of the return value; "" if there is none."""
    node = function.returns if returns else _parameters(function)[0].annotation
    return ast.unparse(node) if node is not None else ""


def _is_list_type(annotation: str) -> bool:
    return annotation.lower().removeprefix("typing.").startswith(("list", "sequence", "iterable", "tuple"))


def _is_the_list(function: ast.FunctionDef, args: list[Any]) -> bool:
    """Whether a list of one item is itself the only argument: the parameter is a list, and the item is not."""
    return _is_list_type(_annotation(function)) and not isinstance(args[0], list)


def _wrapped(row: Row, function: ast.FunctionDef, cases: Sequence[tuple[Any, Any]]) -> bool:
    """Whether each value is wrapped in a list, as in APPS. Raises SourceError if that is unclear."""
    if not cases or not all(isinstance(value, list) and len(value) == 1 for _, value in cases):
        return False
    annotation = _annotation(function, returns=True)
    if _is_list_type(annotation):
        return all(isinstance(value[0], list) for _, value in cases) and not annotation.lower().count("list[list")
    if annotation:
        return True
    raise SourceError(
        f"{row.place}: each expected value is a list of one item, and the signature does not say whether "
        f"{function.name} returns a list"
    )


def _key(test: Test) -> str:
    return encode_value([list(test.args), test.expected])


def _distinct(tests: Any) -> list[Test]:
    return list({_key(test): test for test in tests}.values())
