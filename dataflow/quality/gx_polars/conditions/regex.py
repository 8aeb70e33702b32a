"""Python's regular expressions, run by Rust wherever both mean the same.

The tree that Python makes of a pattern is written down again in Rust's words. Where the two could still disagree
about a value (it ends with a newline that ``$`` looks past, ``\\b`` or ignored case meet letters beyond ASCII), that
value goes to Python; patterns that Rust cannot run (look-around, backreferences) send all distinct values there.
"""
# pyright: basic
# The parser of Python's regular expressions has no annotations.

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from functools import reduce
from importlib import import_module
from typing import Any

import polars as pl

from .distinct import by_distinct

ops: Any = import_module("re._constants")
parser: Any = import_module("re._parser")
DOUBTFUL: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "newline": lambda text: text.str.ends_with("\n"),
    "letters": lambda text: text.str.len_bytes() != text.str.len_chars(),
}
"""Values about which the two might disagree, by what causes it."""
CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"[\s\x1c-\x1f]",
    ops.CATEGORY_NOT_SPACE: r"[^\s\x1c-\x1f]",
    ops.CATEGORY_WORD: r"[\p{L}\p{N}_]",
    ops.CATEGORY_NOT_WORD: r"[^\p{L}\p{N}_]",
}
ANCHORS = {ops.AT_BEGINNING: r"\A", ops.AT_BEGINNING_STRING: r"\A", ops.AT_END_STRING: r"\z", ops.AT_BOUNDARY: r"\b"}
LINES = {ops.AT_BEGINNING: "(?m:^)", ops.AT_END: "(?m:$)"}


class _NoWords(Exception):
    """Rust has none for this."""


def regex_expr(text: pl.Expr, pattern: str) -> pl.Expr:
    """Whether some part of a text matches, as ``re.search`` has it; patterns that only Rust knows are Rust's.

    Nulls: null where there is no text.
    Errors: ValueError for a pattern that neither can read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of patterns that a later Python may read differently
        try:
            search = re.compile(pattern).search
        except re.error as error:
            if _runs(pattern):
                return text.str.contains(pattern)
            raise ValueError(f"the regular expression {pattern!r} does not compile: {error}") from error
        try:
            words = _Words(pattern)
        except _NoWords:
            words = None

    def judge(value: str) -> bool:
        return search(value) is not None

    if words is None or not _runs(words.rust):
        return by_distinct(text, judge)
    found = text.str.contains(words.rust)
    if not words.doubts:
        return found
    doubtful = reduce(pl.Expr.__or__, [DOUBTFUL[cause](text) for cause in sorted(words.doubts)])
    return pl.coalesce(by_distinct(pl.when(doubtful).then(text), judge), found)


def like_expr(text: pl.Expr, pattern: str, escape: str | None = None) -> pl.Expr:
    """Whether a whole text is like a pattern of SQL: ``%`` is any text, ``_`` one character; case matters.

    Nulls: null where there is no text.
    Errors: ValueError for an escape that is not one character, or that escapes nothing.
    """
    if escape is not None and len(escape) != 1:
        raise ValueError(f"escape must be one character, not {escape!r}")
    rust, characters = "", iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, "")
            if following not in ("%", "_", escape):
                raise ValueError(f"in the LIKE pattern {pattern!r} the escape {escape!r} must precede %, _ or itself")
            rust += _literal(ord(following))
        else:
            rust += {"%": ".*", "_": "."}.get(character) or _literal(ord(character))
    return text.str.contains(rf"(?s)\A{rust}\z")


def _runs(pattern: str) -> bool:
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError:
        return False
    return True


def _literal(code: int) -> str:
    character = chr(code)
    return character if character.isalnum() else f"\\x{{{code:x}}}"


class _Words:
    """A pattern in Rust's words, and what casts doubt on them."""

    def __init__(self, pattern: str) -> None:
        tree = parser.parse(pattern)
        self.doubts: set[str] = set()
        self._say: dict[Any, Callable[[Any, int, bool], str]] = {
            ops.LITERAL: lambda code, flags, _: self._cased(_literal(code), flags, code),
            ops.NOT_LITERAL: lambda code, flags, _: self._cased(f"[^{_literal(code)}]", flags, code),
            ops.ANY: lambda _, flags, __: "(?s:.)" if flags & re.DOTALL else r"[^\n]",
            ops.IN: self._one_of,
            ops.BRANCH: lambda branches, flags, last: self._group(
                "|".join(self._sequence(branch, flags, last) for branch in branches[1])
            ),
            ops.SUBPATTERN: lambda found, flags, last: self._group(
                self._sequence(found[3], (flags | found[1]) & ~found[2], last)
            ),
            ops.MAX_REPEAT: self._repeated,
            ops.MIN_REPEAT: self._repeated,
            ops.AT: self._anchor,
        }
        self.rust = self._sequence(tree, tree.state.flags, last=True)

    def _sequence(self, nodes: Iterable[Any], flags: int, last: bool) -> str:
        if flags & re.ASCII:
            raise _NoWords
        nodes = list(nodes)
        said = [self._say.get(op, self._nothing) for op, _ in nodes]
        ends = [last and position == len(nodes) - 1 for position in range(len(nodes))]
        return "".join(say(value, flags, end) for say, (_, value), end in zip(said, nodes, ends, strict=True))

    def _nothing(self, *_: object) -> str:
        raise _NoWords

    def _group(self, inner: str) -> str:
        return f"(?:{inner})"

    def _cased(self, rust: str, flags: int, *codes: int) -> str:
        if not flags & re.IGNORECASE:
            return rust
        if max(codes, default=0) > 127:
            raise _NoWords
        self.doubts.add("letters")
        return f"(?i:{rust})"

    def _one_of(self, members: list[Any], flags: int, _: bool) -> str:
        parts, codes = {ops.NEGATE: "^"}, list[int]()
        inner = ""
        for op, value in members:
            if op is ops.RANGE:
                inner += "-".join(map(_literal, value))
                codes += value
            elif op is ops.LITERAL:
                inner += _literal(value)
                codes.append(value)
            else:
                inner += parts.get(op) or CATEGORIES[value]
        return self._cased(f"[{inner}]", flags, *codes)

    def _repeated(self, repeat: Any, flags: int, _: bool) -> str:
        least, most, inner = repeat
        limit = "" if most is ops.MAXREPEAT else most
        return f"{self._group(self._sequence(inner, flags, last=False))}{{{least},{limit}}}"

    def _anchor(self, where: Any, flags: int, last: bool) -> str:
        if flags & re.MULTILINE and where in LINES:
            return LINES[where]
        if where is ops.AT_END:
            if last:
                return r"\n?\z"
            self.doubts.add("newline")
            return r"\z"
        if where is ops.AT_BOUNDARY:
            self.doubts.add("letters")
        return ANCHORS.get(where) or self._nothing()
