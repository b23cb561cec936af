"""What must be known of test code before it runs: the names it needs, and where it stands in certain statements.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import ast
import builtins
import symtable

HANDLED = "__handled__"
"""Called at the beginning of every handler of an exception."""
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
    """Parsed test code, made to say when it handles an exception. Raises SyntaxError."""

    def __init__(self, code: str):
        self.tree = ast.parse(code, "<tests>")
        self.dropped: set[tuple] = set()
        """Positions of calls whose value the code does not use."""
        self.walked: set[tuple] = set()
        """Positions where a truth only says whether there is more to walk along: `while node:`, and `if not node:` in
        functions that call themselves and assert nothing."""
        self.exceptions: set[str] = set()
        """Names that stand for classes of exceptions."""
        self.loaded: set[str] = set()
        """All names that are read."""
        for node in ast.walk(self.tree):
            self._look(node)
        self.code = compile(ast.fix_missing_locations(self.tree), "<tests>", "exec", 0, True)

    def _look(self, node: ast.AST) -> None:
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
        """Names whose value the code itself looks at, so that it must be fetched before."""
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


def _positions_of_test(node: ast.While | ast.If | ast.IfExp) -> set[tuple]:
    # Python 3.11 gives the jump the place of the whole statement, later versions that of the test.
    return {position(node)} | {position(part) for part in ast.walk(node.test) if isinstance(part, ast.expr)}


def _walks(function: ast.FunctionDef) -> bool:
    parts = list(ast.walk(function))
    calls = {getattr(p.func, "attr", getattr(p.func, "id", "")) for p in parts if isinstance(p, ast.Call)}
    return function.name in calls and not any(isinstance(p, ast.Assert | ast.Raise) for p in parts)


def position(node: ast.expr | ast.stmt) -> tuple:
    """Where an expression stands, as a code object tells of an instruction."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _names(node: ast.expr | None) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {part.id for part in parts if isinstance(part, ast.Name)}


def _call_of(name: str, at: ast.AST) -> ast.Expr:
    call = ast.Expr(ast.Call(ast.Name(name, ast.Load()), [], []))
    for node in ast.walk(call):
        ast.copy_location(node, at)
    return call
