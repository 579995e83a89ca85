"""Python's parser for text of model files, one text at a time.

CPython 3.11 counts the depth of the tree that it hands out for the whole interpreter: two threads that parse at once end in a SystemError.
"""

import ast
import threading

_one_at_a_time = threading.Lock()


def statements(text: str) -> ast.Module:
    """The text as statements.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
    """
    with _one_at_a_time:
        return ast.parse(text)


def expression(text: str) -> ast.Expression:
    """The text as one expression.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
    """
    with _one_at_a_time:
        return ast.parse(text, mode="eval")
