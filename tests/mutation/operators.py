"""How the code is changed: cosmic-ray's operators that change what a program decides, and four of our own."""

import re

import parso
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword

# Of the many replacements of an operator the opposite and, for an order, the neighbour: the others are the same
# mutant once more (`<` for `==`), or none (`is` for `==` between strings). No arithmetic that raises at once.
COSMIC_RAY = (
    "AddNot",
    "NumberReplacer",
    "RemoveDecorator",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_LShift_RShift",
    "ReplaceBinaryOperator_Mod_FloorDiv",
    "ReplaceBinaryOperator_Mul_FloorDiv",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_GtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_Gt_LtE",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_LtE_Gt",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Lt_GtE",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ZeroIterationForLoop",
)


class RemoveStatement(Operator):
    """Remove an assertion, a raise, or a call that is made for what it does."""

    def mutation_positions(self, node):
        if node.type in {"assert_stmt", "raise_stmt"} or _is_call(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):  # noqa: ARG002  # there is one way
        return parso.parse(node.get_first_leaf().prefix + "pass")

    @classmethod
    def examples(cls):
        return ()


def _is_call(node):
    alone = node.parent is not None and node.parent.type == "simple_stmt"
    return alone and node.type in {"atom_expr", "power"}


class ReplaceIn(Operator):
    """Turn a test of membership round."""

    def mutation_positions(self, node):
        compares = node.parent is not None and node.parent.type in {"comparison", "comp_op"}
        if isinstance(node, Keyword) and node.value == "in" and compares:
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):  # noqa: ARG002  # there is one way
        if node.parent.type == "comp_op":
            node.parent.children[0].value = ""
        else:
            node.value = "not in"
        return node

    @classmethod
    def examples(cls):
        return ()


class CatchNothing(Operator):
    """Have a handler catch nothing. (cosmic-ray's own operator for this breaks at a name with a dot.)"""

    def mutation_positions(self, node):
        if node.type == "except_clause":
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):  # noqa: ARG002  # there is one way
        node.children[1] = parso.parse(" ()")
        return node

    @classmethod
    def examples(cls):
        return ()


class RemoveAlternative(Operator):
    """Take one plain alternative out of a regular expression."""

    def mutation_positions(self, node):
        for _ in _changes(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        node.value = list(_changes(node))[index]
        return node

    @classmethod
    def examples(cls):
        return ()


_WORD = re.compile(r"(?:(?<=[|(>])|(?<=\?:))(?:(?:[\w /-]|\\[wdsSDWb.+])[?*+]?)+\|")


def _changes(node):
    """The node's text with one plain alternative less."""
    if node.type not in {"string", "fstring_string"}:
        return
    raw = node.value.startswith(("r", "R")) if node.type == "string" else _is_raw(node)
    if raw:
        for match in _WORD.finditer(node.value):
            yield node.value[: match.start()] + node.value[match.end() :]


def _is_raw(node):
    start = node.parent.children[0].value if node.parent.type == "fstring" else ""
    return start.lower().startswith(("rf", "fr"))


OPERATORS = {name: get_operator(f"core/{name}")() for name in COSMIC_RAY} | {
    kind.__name__: kind() for kind in (CatchNothing, RemoveAlternative, RemoveStatement, ReplaceIn)
}
