"""Checks laid end to end: the bodies of a program's closures as one function, so that a decision makes one call and not twenty.

Rules in order:

1. The closures of `predicates` say what each rule means, and nothing says it twice: their own source is what is laid out. It is
   believed only where it compiles to the very code that runs; a check of which it is not there, or whose body cannot be laid
   out, is called from the one function as it is.
2. Each body stands in its own `try`, with names of its own; where it would return a code, the violation of that code is added. So
   what comes out is what comes out of calling one check after another: the whole set, in order, a fact of a wrong type as MISSING.
3. The code depends on which checks stand in which order. Their constants are an argument, so agreements that say the same in other
   words share one code, however many are in force.

    one = fuse(checks)
    violations = one.run(one.constants, by_code, profile, times, portion, rank, node, moment)

For reports that differ in their times alone, `timed` gives the violations of the checks that read them: where those are the same,
all are.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from types import CodeType
from typing import Any, Final

from comity_policy.decision import Violation
from comity_policy.predicates import DENIED, HOLDS, MISSING, SUSPENDED, Check

FACTS: Final = ("profile", "times", "portion", "rank", "node", "moment")
Run = Callable[..., tuple[Violation, ...]]

_CODES: Final = {"HOLDS": HOLDS, "DENIED": DENIED, "MISSING": MISSING, "SUSPENDED": SUSPENDED}
_KEPT: Final = 512
# In the text of a body: what makes its names its own, what stands before the number of a constant, and its place among all.
_OWN, _CONSTANT, _PLACE = "__OWN__", "CONSTANT__", "PLACE__"
# A body grows by what follows a condition; one that would have more statements than this is called.
_LONGEST: Final = 40
# What has a scope of its own is called, and what this module does not know how to leave early.
_CALLED: Final = (
    ast.FunctionDef | ast.Lambda | ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp | ast.NamedExpr
    | ast.While | ast.Match | ast.Try | ast.With | ast.Break | ast.Continue | ast.Global | ast.Nonlocal | ast.Yield
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """One check's statements as text, the closure's names of its constants in order, and what it reads of its module.

    `is_timed` says that it may read a report's times.
    """

    lines: tuple[str, ...]
    constants: tuple[str, ...]
    names: Mapping[str, object]
    is_timed: bool


_AS_IT_IS: Final = _Body(
    (f"code{_OWN} = {_CONSTANT}0({', '.join(FACTS)})", f"if code{_OWN}: found += (by_code[{_PLACE}][code{_OWN}],)"),
    ("check",),
    {},
    is_timed=True,
)


class _Unsuited(Exception):  # noqa: N818 - a signal within this module, never an error
    """A body that cannot be laid out."""


@dataclass(frozen=True, slots=True)
class Fused:
    """The one function of some checks, and what it is called with first; `timed` is that of those which read a report's times."""

    run: Run
    timed: Run
    constants: tuple[object, ...]


def fuse(checks: Sequence[Check]) -> Fused:
    """Give the one function of these checks, and their constants."""
    bodies = tuple(_body(check) for check in checks)
    constants: list[object] = []
    for check, body in zip(checks, bodies, strict=True):
        constants += [check] if body is None else _held(check, body)
    return Fused(_run(bodies, timed=False), _run(bodies, timed=True), tuple(constants))


def _held(check: Any, body: _Body) -> Iterator[object]:
    cells = dict(zip(check.__code__.co_freevars, check.__closure__ or (), strict=True))
    return (cells[name].cell_contents for name in body.constants)


@lru_cache(maxsize=_KEPT)
def _run(bodies: tuple[_Body | None, ...], *, timed: bool) -> Run:
    """Give the function of these bodies, or of the timed ones among them; None stands for a check that is called."""
    names: dict[str, Any] = {}
    for body in bodies:
        names |= {} if body is None else body.names
    exec(compile(_text(bodies, timed=timed), "<checks end to end>", "exec"), names)  # noqa: S102 - what this package's own source says
    run: Run = names["run"]
    return run


def _text(bodies: Sequence[_Body | None], *, timed: bool) -> str:
    lines = [f"def run(constants, by_code, {', '.join(FACTS)}):", " found = ()"]
    first = 0
    for place, body in enumerate(bodies):
        laid = _AS_IT_IS if body is None else body
        if laid.is_timed or not timed:
            lines.append(" try:")
            lines += (f"  {_placed(line, place, first, len(laid.constants))}" for line in laid.lines)
            lines += [" except (TypeError, AttributeError):", f"  found += (by_code[{place}][{MISSING}],)"]
        first += len(laid.constants)
    return "\n".join([*lines, " return found"])


def _placed(line: str, place: int, first: int, constants: int) -> str:
    """Give a line of a body for its place, with names of its own and the numbers of its constants among all."""
    # The highest first: one number may be the beginning of another.
    for number in reversed(range(constants)):
        line = line.replace(f"{_CONSTANT}{number}", f"constants[{first + number}]")
    return line.replace(_OWN, f"_{place}").replace(_PLACE, str(place))


# --- bodies -----------------------------------------------------------------------------------------------------------


def _body(check: Any) -> _Body | None:
    """Give what a check does, None where it is to be called."""
    return _body_of(check.__code__, check.__module__)


@lru_cache(maxsize=_KEPT)
def _body_of(code: CodeType, module: str) -> _Body | None:
    written = _written(code.co_filename).get(code)
    if written is None or written.args.vararg or written.args.kwonlyargs or len(written.args.args) != len(FACTS):
        return None
    if any(isinstance(one, _CALLED) for statement in written.body for one in ast.walk(statement)):
        return None
    renaming = _Renaming(code, [one.arg for one in written.args.args], vars(sys.modules[module]), module)
    try:
        statements = _laid([renaming.visit(deepcopy(one)) for one in written.body], leaves_loop=False)
    except _Unsuited:
        return None
    text = ast.unparse(ast.fix_missing_locations(ast.Module(statements, [])))
    return _Body(tuple(text.splitlines()), tuple(renaming.constants), renaming.names, "times" in renaming.read)


@cache
def _written(filename: str) -> Mapping[CodeType, ast.FunctionDef]:
    """Give the functions of a file as they are written, by the code they compile to; nothing where the file is not there."""
    tree = ast.parse("".join(linecache.getlines(filename)))
    places = {(one.lineno, one.name): one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    found: dict[CodeType, ast.FunctionDef] = {}
    left = [compile(tree, filename, "exec", dont_inherit=True)]
    while left:
        code = left.pop()
        left += (one for one in code.co_consts if isinstance(one, CodeType))
        place = code.co_firstlineno, code.co_name
        if place in places:
            found[code] = places[place]
    return found


class _Renaming(ast.NodeTransformer):
    """Gives each name of a body the one it has in the one function: facts, constants, its own, and those of its module."""

    def __init__(self, code: CodeType, arguments: Sequence[str], module: Mapping[str, object], name: str) -> None:
        self.constants: list[str] = []
        self.names: dict[str, object] = {}
        self.read: set[str] = set()
        self._facts = dict(zip(arguments, FACTS, strict=True))
        self._code, self._module, self._suffix = code, module, f"__{name.replace('.', '_')}"

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        """Leave a local name's type away."""
        if node.value is None:
            raise _Unsuited
        return ast.Assign([self.visit(node.target)], self.visit(node.value))

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Rename one name. A code is written as its number, so that one that is known is known here."""
        name = node.id
        if name in self._facts:
            if not isinstance(node.ctx, ast.Load):
                raise _Unsuited
            self.read.add(self._facts[name])
            return ast.Name(self._facts[name], node.ctx)
        if name in self._code.co_freevars:
            if name not in self.constants:
                self.constants.append(name)
            return ast.Name(f"{_CONSTANT}{self.constants.index(name)}", node.ctx)
        if name in self._code.co_varnames:
            return ast.Name(f"{name}{_OWN}", node.ctx)
        if name in _CODES:
            return ast.Constant(_CODES[name])
        self.names[name + self._suffix] = self._module[name] if name in self._module else getattr(builtins, name)
        return ast.Name(name + self._suffix, node.ctx)


def _laid(statements: Sequence[ast.stmt], *, leaves_loop: bool) -> list[ast.stmt]:
    """Give statements that end where a return would, with the violation of its code added; what follows is in branches."""
    for number, one in enumerate(statements):
        if not _returns(one):
            continue
        before, rest = list(statements[:number]), statements[number + 1 :]
        match one:
            case ast.Return(value=value) if value is not None:
                return [*before, *_answered(value), *([ast.Break()] if leaves_loop else [])]
            case ast.If(test=test, body=body, orelse=orelse):
                kept = _laid([*body, *rest], leaves_loop=leaves_loop)
                other = _laid([*orelse, *rest], leaves_loop=leaves_loop)
                return _bounded([*before, ast.If(test, kept or [ast.Pass()], other)])
            case ast.For(target=target, iter=each, body=body, orelse=[]) if not leaves_loop:
                ended = _laid(rest, leaves_loop=False)
                return _bounded([*before, ast.For(target, each, _laid(body, leaves_loop=True), ended)])
            case _:
                raise _Unsuited
    return list(statements)


def _returns(statement: ast.stmt) -> bool:
    return any(isinstance(one, ast.Return) for one in ast.walk(statement))


def _bounded(statements: list[ast.stmt]) -> list[ast.stmt]:
    if sum(isinstance(one, ast.stmt) for statement in statements for one in ast.walk(statement)) > _LONGEST:
        raise _Unsuited
    return statements


def _answered(code: ast.expr) -> list[ast.stmt]:
    """Give what adds the violation of a code, nothing where it holds."""
    match code:
        case ast.Constant(value=0):
            return [ast.Pass()]
        case ast.Constant(value=int(number)):
            return ast.parse(f"found += (by_code[{_PLACE}][{number}],)").body
        case ast.IfExp(test=test, body=body, orelse=ast.Constant(value=0)):
            return [ast.If(test, _answered(body), [])]
        case ast.IfExp(test=test, body=ast.Constant(value=0), orelse=orelse):
            return [ast.If(ast.UnaryOp(ast.Not(), test), _answered(orelse), [])]
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [ast.If(test, _answered(body), _answered(orelse))]
        case _:
            assigned = ast.Assign([ast.Name(f"code{_OWN}", ast.Store())], code)
            return [assigned, *ast.parse(f"if code{_OWN}:\n found += (by_code[{_PLACE}][code{_OWN}],)").body]
