"""Mutants of a Python module: the rules of `mutmut`, which itself passes over every decorated function, so every kernel."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, CodeSpan, MetadataWrapper, ParentNodeProvider
from mutmut.mutation import mutators

from tests.mutation.mutants import Mutant, changed

Rule = Callable[[Any], Iterable[cst.CSTNode]]


def _string(node: cst.BaseString) -> Iterable[cst.CSTNode]:
    """One change of a string is enough."""
    return list(mutators.operator_string(node))[:1]


def _operator(node: cst.CSTNode) -> Iterable[cst.CSTNode]:
    """`//` becomes `*`: a quotient with a point that is whole would be the same number."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.FloorDivide):
        return [node.with_changes(operator=cst.Multiply())]
    return mutators.operator_swap_op(node)


def _least_and_most(node: cst.Call) -> Iterable[cst.CSTNode]:
    other = {"min": "max", "max": "min"}.get(node.func.value) if isinstance(node.func, cst.Name) else None
    return [node.with_changes(func=cst.Name(other))] if other else []


def _condition(node: cst.If | cst.While) -> Iterable[cst.CSTNode]:
    """The other way round, where it is no comparison, which has its own."""
    if isinstance(node.test, cst.Comparison | cst.BooleanOperation | cst.UnaryOperation):
        return []
    return [node.with_changes(test=cst.UnaryOperation(cst.Not(), node.test))]


def _call_left_out(node: cst.SimpleStatementLine) -> Iterable[cst.CSTNode]:
    [only, *rest] = node.body
    if rest or not (isinstance(only, cst.Expr) and isinstance(only.value, cst.Call)):
        return []
    return [node.with_changes(body=[cst.Pass()])]


RULES: Final[list[tuple[type | tuple[type, ...], Rule]]] = [
    (cst.BaseNumber, mutators.operator_number), (cst.BaseString, _string), (cst.Name, mutators.operator_name),
    (cst.AugAssign, mutators.operator_augmented_assignment), (cst.UnaryOperation, mutators.operator_remove_unary_ops),
    (cst.Lambda, mutators.operator_lambda), (cst.CSTNode, mutators.operator_keywords), (cst.CSTNode, _operator),
    (cst.Match, mutators.operator_match), (cst.IfExp, mutators.operator_if_exp), (cst.Call, _least_and_most),
    ((cst.If, cst.While), _condition), (cst.SimpleStatementLine, _call_left_out),
]  # fmt: skip


def mutants_of(text: str) -> list[Mutant]:
    """Every mutant of a module; each is called by the function that it changes."""
    wrapper = MetadataWrapper(cst.parse_module(text))
    module, places, parents = (
        wrapper.module,
        wrapper.resolve(ByteSpanPositionProvider),
        wrapper.resolve(ParentNodeProvider),
    )
    found: dict[str, Mutant] = {}
    for node in _nodes(module):
        for kind, rule in RULES:
            for instead in rule(node) if isinstance(node, kind) else ():
                mutated = _replaced(module, node, instead, places[node])
                if mutated != text:
                    found.setdefault(mutated, changed(_where(node, parents), text, mutated))
    return list(found.values())


def _replaced(module: cst.Module, node: cst.CSTNode, instead: cst.CSTNode, place: CodeSpan) -> str:
    if isinstance(node, cst.BaseCompoundStatement):
        return module.deep_replace(node, instead).code  # knows how far it is indented, and takes its time
    raw = module.bytes
    return (
        raw[: place.start] + module.code_for_node(instead).strip().encode() + raw[place.start + place.length :]
    ).decode()


def _nodes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """All nodes but types, decorators, imports and texts that stand alone."""
    if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
        return
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString):
        return
    yield node
    for child in node.children:
        yield from _nodes(child)


def _where(node: cst.CSTNode, parents: Any) -> str:
    names: list[str] = []
    at: cst.CSTNode | None = node
    while at is not None:
        if isinstance(at, cst.FunctionDef | cst.ClassDef):
            names.insert(0, at.name.value)
        at = parents.get(at)
    return ".".join(names) or "module"
