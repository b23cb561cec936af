"""When two programs are the same solution: their syntax trees agree but for the names of locals, comments, docstrings
and annotations. Pure; nothing is executed."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator, Sequence

MAX_CODE = 20_000
"""Characters beyond which a program stands for itself: Python's parser is slow, and recursive, on long nests."""
_INTROSPECTIVE = {"locals", "globals", "vars", "eval", "exec", "dir", "compile", "__import__"}
"""A program that uses one of these may look its own names up, so that they must stay."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef)


def normal_form(code: str) -> str:
    """A hash that two programs share where they differ in layout, comments, docstrings, annotations and the names of
    local variables alone. What cannot be parsed stands for itself."""
    return hashlib.sha256(_text(code).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _text(code: str) -> str:
    if len(code) > MAX_CODE:
        return code
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the escapes in a program's strings
            tree = ast.parse(code)
        return ast.dump(_Renamed(tree).visit(_Bare().visit(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code


class _Bare(ast.NodeTransformer):
    """Drops what says nothing to the machine: annotations, docstrings and other constants that stand alone."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Without annotation."""
        return ast.arg(arg=node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Without the annotation of its result."""
        node.returns, node.type_comment = None, None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Likewise."""
        node.returns, node.type_comment = None, None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A plain assignment; a bare declaration, which binds nothing, is `pass`."""
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """A statement that is a constant alone does nothing."""
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Visits all below, and then drops `pass` where another statement stands beside it."""
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            lines = getattr(node, name, None)
            if isinstance(lines, list) and lines and isinstance(lines[0], ast.stmt):
                kept = [line for line in lines if not isinstance(line, ast.Pass)]
                # `else: pass` is no else; any other block must hold something.
                setattr(node, name, kept or ([ast.Pass()] if name == "body" else []))
        return node


class _Renamed(ast.NodeTransformer):
    """Numbers the locals of every function and comprehension in the order in which they are bound.

    Their new names are numbers, which no program can use. Names of imports, of classes' attributes, and parameters that
    are given by keyword anywhere keep theirs.
    """

    def __init__(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        named = {node.id for node in nodes if isinstance(node, ast.Name)}
        keywords = [node.arg for node in nodes if isinstance(node, ast.keyword)]
        # **arguments may hold any name.
        self._off = bool(named & _INTROSPECTIVE) or None in keywords
        self._kept = set(keywords)
        self._scopes: list[tuple[bool, dict[str, str]]] = []
        """Innermost last: whether it is a class's, and the names that it binds."""
        self._count = 0

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """By the innermost scope that binds it."""
        return ast.Name(id=self._new(node.id), ctx=node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """A parameter, within its function's scope."""
        return ast.arg(arg=self._new(node.arg))

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.Nonlocal:
        """Of an enclosing function."""
        return ast.Nonlocal(names=sorted(self._new(name) for name in node.names))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """The name of what was caught."""
        node.name = node.name and self._new(node.name)
        return self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        """A name that a pattern binds."""
        node.name = node.name and self._new(node.name)
        return self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        """Likewise."""
        node.name = node.name and self._new(node.name)
        return node

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        """Likewise."""
        node.rest = node.rest and self._new(node.rest)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Its name, decorators and defaults are of the scope around it, the rest of its own."""
        node.name = self._new(node.name)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Likewise."""
        node.name = self._new(node.name)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        return self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """Likewise."""
        return self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Its body's names are attributes, which code elsewhere may ask for."""
        node.name = self._new(node.name)
        for part in (node.decorator_list, node.bases):
            part[:] = [self.visit(one) for one in part]
        node.keywords = [self.visit(one) for one in node.keywords]
        self._scopes.append((True, {name: name for name in _bound(node.body)}))
        node.body = [self.visit(line) for line in node.body]
        self._scopes.pop()
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        """A scope of its own but for the first iterable."""
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        """Likewise."""
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        """Likewise."""
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        """Likewise."""
        return self._comprehension(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> ast.AST:
        arguments = node.args
        arguments.defaults = [self.visit(one) for one in arguments.defaults]
        arguments.kw_defaults = [one and self.visit(one) for one in arguments.kw_defaults]
        parameters = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
        lines = [node.body] if isinstance(node, ast.Lambda) else node.body
        self._enter([p.arg for p in parameters if p is not None], lines)
        for name in ("posonlyargs", "args", "kwonlyargs"):
            setattr(arguments, name, [self.visit(one) for one in getattr(arguments, name)])
        arguments.vararg = arguments.vararg and self.visit(arguments.vararg)
        arguments.kwarg = arguments.kwarg and self.visit(arguments.kwarg)
        done = [self.visit(line) for line in lines]
        if isinstance(node, ast.Lambda):
            node.body = done[0]
        else:
            node.body = done
        self._scopes.pop()
        return node

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> ast.AST:
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        self._enter([], [generator.target for generator in node.generators])
        for generator in node.generators:
            generator.target = self.visit(generator.target)
            if generator is not first:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(one) for one in generator.ifs]
        for name in ("elt", "key", "value"):
            if getattr(node, name, None) is not None:
                setattr(node, name, self.visit(getattr(node, name)))
        self._scopes.pop()
        return node

    def _enter(self, parameters: Sequence[str], lines: Sequence[ast.AST]) -> None:
        names: dict[str, str] = {}
        for name in dict.fromkeys([*parameters, *_bound(lines)]):
            if self._off or name in self._kept:
                names[name] = name
            else:
                names[name] = str(self._count)
                self._count += 1
        self._scopes.append((False, names))

    def _new(self, name: str) -> str:
        for depth, (of_class, names) in enumerate(reversed(self._scopes)):
            # What a class binds is seen in its own body alone, not in the functions inside of it.
            if name in names and (not of_class or depth == 0):
                return names[name]
        return name


def _bound(lines: Sequence[ast.AST]) -> list[str]:
    """Names that these lines bind in their own scope, in order; without those of imports and of other scopes."""
    found: dict[str, None] = {}
    elsewhere: set[str] = set()
    for node in _of_scope(lines):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found[name] = None
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = None
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                found[name] = None
            case ast.MatchMapping(rest=str(name)):
                found[name] = None
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                elsewhere |= set(names)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                elsewhere |= {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
    return [name for name in found if name not in elsewhere]


def _of_scope(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of one scope in the order of the text; of a scope inside of it only its head."""
    for node in nodes:
        yield node
        if isinstance(node, _COMPREHENSIONS):
            yield from _of_scope([node.generators[0].iter])
            # A walrus in a comprehension binds in the scope around it.
            yield from (inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif not isinstance(node, _SCOPES):
            yield from _of_scope(list(ast.iter_child_nodes(node)))
