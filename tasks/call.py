"""What a task is given: the engine's function and its arguments, closed to Prefect's eyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Call:
    """A function and its arguments.

    Prefect walks through every parameter of a task in search of futures, and shows it. This is
    no collection, no dataclass and no model, so that nothing is walked through or copied.
    """

    __slots__ = ("arguments", "function", "name")

    def __init__(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.function = function
        self.arguments = arguments

    def __call__(self) -> Any:
        return self.function(*self.arguments)

    def __repr__(self) -> str:
        return f"<{self.name}>"
