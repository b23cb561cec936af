"""Static analysis of test code: the names it needs, and the positions of certain expressions.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import ast
import builtins
import symtable

HANDLED = "__handled__"
"""Name of the function that is called at the start of every exception handler."""
_RAISES = frozenset({"raises", "assertRaises", "assertRaisesRegex", "suppress"})


def names_needed(code: str) -> set[str]:
    """Global names that test code reads but neither defines, imports, nor finds among the builtins."""
    top = symtable.symtable(code, "<tests>", "exec")
    read, bound = set(), set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            outside = table is top or symbol.is_global()
            if outside and symbol.is_referenced():
                read.add(symbol.get_name())
            if outside and (symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()):
                bound.add(symbol.get_name())
    return read - bound - set(dir(builtins)) - {"__name__", "__file__", "__doc__"}


class Source:
    """Parsed test code, instrumented to report when it handles an exception. Raises SyntaxError."""

    def __init__(self, code: str):
        self.tree = ast.parse(code, "<tests>")
        self.dropped: set[tuple] = set()
        """Positions of calls whose return value is unused, or whose arguments are otherwise only compared with
        constants: such a call may change its arguments without gaining anything."""
        self.walked: set[tuple] = set()
        """Positions where a truth value only controls a traversal: `while node:`, and `if not node:` in recursive
        functions that assert nothing."""
        self.exceptions: set[str] = set()
        """Names that refer to exception classes."""
        self.loaded: set[str] = set()
        """All names that the code reads."""
        self.dropped |= _calls_beside_constants(self.tree)
        for node in ast.walk(self.tree):
            self._visit(node)
        self.code = compile(ast.fix_missing_locations(self.tree), "<tests>", "exec", 0, True)

    def _visit(self, node: ast.AST) -> None:
        match node:
            case ast.Expr(value=ast.Call() as call):
                self.dropped.add(position(call))
            case ast.While():
                self.walked |= _positions_of_test(node)
            case ast.FunctionDef() if _walks(node):
                for part in ast.walk(node):
                    if isinstance(part, ast.If | ast.IfExp):
                        self.walked |= _positions_of_test(part)
            case ast.ExceptHandler():
                self.exceptions |= _names(node.type)
                self.loaded |= _names(node.type)
                node.body.insert(0, _call_of(HANDLED, node))
            case ast.Name(ctx=ast.Load()):
                self.loaded.add(node.id)
            case ast.Call(func=func, args=args):
                if getattr(func, "attr", getattr(func, "id", "")) in _RAISES:
                    self.exceptions |= {name for arg in args[:1] for name in _names(arg)}

    def plain_names(self) -> set[str]:
        """Names whose value the code uses directly, so that it must be fetched in advance."""
        elsewhere = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call | ast.Attribute):
                inner = node.func if isinstance(node, ast.Call) else node.value
                if isinstance(inner, ast.Name):
                    elsewhere.add(id(inner))
        return {
            node.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in elsewhere
        }


def _calls_beside_constants(tree: ast.AST) -> set[tuple]:
    """Positions of calls whose arguments are constants, or names of constants that are otherwise only compared with
    constants. A test that computes its expectation from an argument must see it as it was before the call."""
    harmless: set[int] = set()
    made, bound = set(), set()
    loads: dict[str, set[int]] = {}
    calls: list[tuple[str, ast.Call, list[ast.AST]]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                loads.setdefault(name, set()).add(id(node))
            case ast.Name(id=name) | ast.arg(arg=name):
                bound.add((name, id(node)))
            case ast.Assign(targets=[ast.Name(id=name) as target], value=value) if _is_constant(value):
                made.add((name, id(target)))
            case ast.Compare():
                parts = [part for part in (node.left, *node.comparators) if not _is_constant(part)]
                if len(parts) == 1:
                    harmless |= {id(part) for part in ast.walk(parts[0])}
            case ast.Call(func=ast.Name(id=name)):
                values = [*node.args, *(keyword.value for keyword in node.keywords)]
                calls.append((name, node, [part for value in values for part in ast.walk(value)]))
    shared = {name for name, _ in bound - made}
    by_function: dict[str, set[int]] = {}
    for name, _, parts in calls:
        by_function.setdefault(name, set()).update(map(id, parts))
    return {
        position(call)
        for name, call, parts in calls
        if all(isinstance(part, _DISPLAYS) for part in parts)
        and all(
            part.id not in shared and loads.get(part.id, set()) <= harmless | by_function[name]
            for part in parts
            if isinstance(part, ast.Name)
        )
    }


_DISPLAYS = (ast.Name, ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.expr_context, ast.UnaryOp, ast.unaryop)
"""Nodes that a literal argument may consist of."""


def _is_constant(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return False
    return True


def _positions_of_test(node: ast.While | ast.If | ast.IfExp) -> set[tuple]:
    # Python 3.11 gives the jump the position of the whole statement, later versions that of the test.
    return {position(node)} | {position(part) for part in ast.walk(node.test) if isinstance(part, ast.expr)}


def _walks(function: ast.FunctionDef) -> bool:
    """Whether a function is recursive and asserts nothing."""
    parts = list(ast.walk(function))
    calls = {getattr(p.func, "attr", getattr(p.func, "id", "")) for p in parts if isinstance(p, ast.Call)}
    return function.name in calls and not any(isinstance(p, ast.Assert | ast.Raise) for p in parts)


def position(node: ast.expr | ast.stmt) -> tuple:
    """Position of an expression, in the order of `code.co_positions()`."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _names(node: ast.expr | None) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {part.id for part in parts if isinstance(part, ast.Name)}


def _call_of(name: str, at: ast.AST) -> ast.Expr:
    call = ast.Expr(ast.Call(ast.Name(name, ast.Load()), [], []))
    for node in ast.walk(call):
        ast.copy_location(node, at)
    return call
