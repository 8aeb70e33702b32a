"""Patterns of text: LIKE as a regular expression, and what Rust's regular expressions refuse."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl


class RefusedError(Exception):
    """A part of a predicate that is not allowed; the message says which and why."""


def like_regex(pattern: str, escape: str | None = None) -> str:
    r"""The anchored Rust regular expression of a LIKE pattern.

    Example:
        >>> like_regex("50!%_", "!")
        '(?s)\\A50%.\\z'
    """
    parts: list[str] = []
    characters: Iterable[str] = iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, None)
            if following is None or following not in ("%", "_", escape):
                raise RefusedError(
                    f"LIKE {pattern!r}: an escape character before anything but %, _ or itself is not allowed"
                )
            parts.append(_quoted(following))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or _quoted(character))
    return rf"(?s)\A{''.join(parts)}\z"


def _quoted(character: str) -> str:
    return "\\" + character if character in r"\.+*?()|[]{}^$#&-~" else character


def regex_problem(pattern: str) -> str | None:
    """Why Rust's regular expressions refuse the pattern; None when they take it."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        lines = [
            line.strip() for line in str(error).splitlines() if line.strip().startswith(("error:", "Compiled regex"))
        ]
        return lines[0].removeprefix("error: ") if lines else str(error).splitlines()[0]
    return None
