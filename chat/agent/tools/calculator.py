"""Arithmetic for models, by simpleeval: no names, no attributes, bounded powers and lengths."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from langchain_core.tools import ToolException, tool
from simpleeval import InvalidExpression, SimpleEval

MAX_CHARACTERS = 500
MAX_BITS = 1024
FUNCTIONS = {
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "log": math.log,
    "log10": math.log10,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
}
CONSTANTS = {"pi": math.pi, "e": math.e}


@tool
def calculator(expression: str) -> str:
    """Calculate an arithmetic expression, for example "12.5 / 100 * 3480" or "sqrt(2) * pi".

    Knows + - * / // % **, parentheses, abs, round, min, max, sqrt, log, log10, exp, sin, cos,
    tan, pi and e.
    """
    if len(expression) > MAX_CHARACTERS:
        raise ToolException(f"An expression may have {MAX_CHARACTERS} characters at most.")
    evaluator = SimpleEval(operators=_OPERATORS, functions=FUNCTIONS, names=CONSTANTS)
    try:
        return _plain(evaluator.eval(expression.replace("^", "**")))
    except ZeroDivisionError as error:
        raise ToolException("Division by zero.") from error
    except (
        InvalidExpression,
        ArithmeticError,
        SyntaxError,
        TypeError,
        ValueError,
        RecursionError,
        MemoryError,
    ) as error:
        raise ToolException(f"Cannot calculate {expression[:80]!r}: {error}") from error


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*operands: Any) -> Any:
        if any(isinstance(o, bool) or not isinstance(o, int | float) for o in operands):
            raise TypeError("only numbers can be calculated with")
        return function(*operands)

    return apply


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) * max(1, abs(int(base)).bit_length()) > MAX_BITS:
        raise ValueError("the result is too large")
    return base**exponent


_OPERATORS = {
    ast.Add: _of_numbers(operator.add),
    ast.Sub: _of_numbers(operator.sub),
    ast.Mult: _of_numbers(operator.mul),
    ast.Div: _of_numbers(operator.truediv),
    ast.FloorDiv: _of_numbers(operator.floordiv),
    ast.Mod: _of_numbers(operator.mod),
    ast.Pow: _of_numbers(_power),
    ast.USub: _of_numbers(operator.neg),
    ast.UAdd: _of_numbers(operator.pos),
}


def _plain(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("the result is no number")
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueError("the result is too large")
        return str(value)
    if not math.isfinite(value):
        raise ValueError("the result is too large")
    return f"{value:.15g}"
