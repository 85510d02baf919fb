"""The small changes: what a slip of the pen would make of an expression or a statement."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
NAMES = {
    one: other
    for pair in (
        ("minimum", "maximum"),
        ("min", "max"),
        ("all", "any"),
        ("floor", "ceil"),
        ("argmin", "argmax"),
        ("zeros_like", "ones_like"),
        ("zeros", "ones"),
        ("expm1", "exp"),
        ("log1p", "log"),
    )
    for one, other in (pair, pair[::-1])
}
#: Types, decorators and texts are not arithmetic: mypy, ruff and the readers guard them.
PASSED_OVER = {"annotation", "returns", "decorator_list", "type_params"}

Step = tuple[str, int | None]
Change = tuple[str, ast.AST]


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    path: Path
    text: str
    line: int
    column: int
    code: str
    operator: str
    change: str
    steps: tuple[Step, ...]
    new: ast.AST

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What names this mutant as long as its line stays as it is."""
        return self.path.name, self.code, self.column, self.change

    @cached_property
    def tree(self) -> ast.Module:
        """The changed file."""
        tree = ast.parse(self.text)
        node: ast.AST = tree
        for field, index in self.steps[:-1]:
            found = getattr(node, field)
            node = found if index is None else found[index]
        field, index = self.steps[-1]
        new = copy.deepcopy(self.new)
        if index is None:
            setattr(node, field, new)
        else:
            getattr(node, field)[index] = new
        return ast.fix_missing_locations(tree)


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield every change of a file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node, steps in _walk(ast.parse(text)):
        for operator, new in _changes(node):
            line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
            code = lines[line - 1]
            before, after = ast.unparse(node), ast.unparse(new)
            if operator == "remove" or isinstance(node, (ast.If, ast.While)):
                before, after = before.splitlines()[0], after.splitlines()[0]
            yield Mutant(
                path,
                text,
                line,
                column - (len(code) - len(code.lstrip())),
                code.strip(),
                operator,
                f"{before} → {after}",
                steps,
                ast.copy_location(new, node),
            )


def _walk(
    node: ast.AST, steps: tuple[Step, ...] = ()
) -> Iterator[tuple[ast.AST, tuple[Step, ...]]]:
    if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    alias = isinstance(node, ast.Assign) and len(steps) == 1 and isinstance(node.value, ast.BinOp)
    if alias and isinstance(node.value.op, ast.BitOr):  # type: ignore[attr-defined]
        return  # Settled = bool | NDArray[np.bool_]
    if steps:
        yield node, steps
    for field, value in ast.iter_fields(node):
        if field in PASSED_OVER:
            continue
        if isinstance(value, ast.AST):
            yield from _walk(value, (*steps, (field, None)))
        elif isinstance(value, list):
            for k, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield from _walk(child, (*steps, (field, k)))


def _changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare():
            for k, op in enumerate(node.ops):
                for other in COMPARISONS[type(op)]:
                    ops = [*node.ops[:k], other(), *node.ops[k + 1 :]]
                    yield "comparison", ast.Compare(node.left, ops, node.comparators)
        case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_text(node):
            yield "arithmetic", ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        case ast.AugAssign():
            if type(node.op) in ARITHMETIC:
                new = ARITHMETIC[type(node.op)]()
                yield "arithmetic", ast.AugAssign(node.target, new, node.value)
            yield "remove", ast.Pass()
        case ast.UnaryOp(operand=operand) if not isinstance(operand, ast.Constant):
            yield "arithmetic", operand
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "boolean", ast.BoolOp(other, node.values)
        case ast.Constant(value=bool() as value):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield "constant", ast.Constant(value + 1)
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield "name", ast.Name(NAMES[name], ast.Load())
        case ast.Attribute(attr=name, ctx=ast.Load()) if name in NAMES:
            yield "name", ast.Attribute(node.value, NAMES[name], ast.Load())
        case ast.If() | ast.While():
            negated = copy.deepcopy(node)
            negated.test = ast.UnaryOp(ast.Not(), node.test)
            yield "condition", negated
        case ast.IfExp():
            yield "condition", ast.IfExp(node.test, node.orelse, node.body)
        case ast.Return(value=ast.Constant(value=None)):
            return
        case ast.Return(value=ast.expr()):
            yield "return", ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            yield "remove", ast.Pass()


def _is_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(
        isinstance(s, ast.JoinedStr) or (isinstance(s, ast.Constant) and isinstance(s.value, str))
        for s in sides
    )
