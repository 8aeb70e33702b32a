"""A name for a stage's code that changes when what it computes may change, and only then."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from dataflow.incremental.constants import stable_text
from dataflow.model import digest

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def code_fingerprint(function: Callable[..., Any]) -> str:
    """Names the code of ``function`` and of all functions, classes and constants of the user's own that it uses.

    Comments, docstrings and layout do not count; constants and defaults do. Code of installed packages
    does not, except for the version of Polars. Two processes give one answer.
    """
    reading = _Reading()
    reading.take(function)
    return digest(pl.__version__, *sorted(reading.parts))


class _Reading:
    """What was read so far: every thing once, whatever it is called."""

    def __init__(self) -> None:
        self.parts: set[str] = set()
        self._seen: dict[int, tuple[int, Any]] = {}

    def take(self, thing: Any) -> int:
        """Read ``thing`` and what it uses; answers its number, so that two things of one name are not mixed up."""
        if id(thing) not in self._seen:
            number = len(self._seen)
            # Kept, so that no other object can come by its id.
            self._seen[id(thing)] = number, thing
            self._read(thing, f"#{number} {_name(thing)}")
        return self._seen[id(thing)][0]

    def _read(self, thing: Any, owner: str) -> None:
        if isinstance(thing, functools.partial):
            self._use_all(owner, {"function": thing.func, **dict(enumerate(thing.args)), **thing.keywords})
        elif isinstance(thing, types.MethodType):
            self._use_all(owner, {"function": thing.__func__, "self": thing.__self__})
        elif isinstance(thing, types.FunctionType):
            self._read_function(thing, owner)
        elif isinstance(thing, type):
            self._read_class(thing, owner)
        elif isinstance(thing, types.ModuleType):
            self._read_module(thing, owner)
        else:
            self._use_all(owner, {"class": type(thing), **getattr(thing, "__dict__", {})})

    def _use_all(self, owner: str, used: Mapping[Any, Any]) -> None:
        for name, value in used.items():
            self._use(f"{owner}:{name}", value)

    def _use(self, name: str, value: Any) -> None:
        """Something that code refers to by ``name``: more code of the user's own, or a constant."""
        is_code = isinstance(value, types.ModuleType) or callable(value)
        if isinstance(value, functools.partial) or _is_own(value if is_code else type(value)):
            self.parts.add(f"{name}=#{self.take(value)}")
        else:
            self.parts.add(f"{name}={_name(value) if is_code else stable_text(value)}")

    def _read_function(self, function: types.FunctionType, owner: str) -> None:
        self.parts.add(f"{owner}: {_text(function)}")
        self._use_all(
            owner,
            {**_used(function), **dict(enumerate(function.__defaults__ or ())), **(function.__kwdefaults__ or {})},
        )
        # Of a decorator that tells what it wraps, both the wrapper and the wrapped count.
        if (wrapped := getattr(function, "__wrapped__", None)) is not None:
            self._use(f"{owner} wraps", wrapped)

    def _read_class(self, kind: type, owner: str) -> None:
        self.parts.add(f"{owner}: {_text(kind)}")
        self._use_all(owner, dict(enumerate(kind.__bases__)))
        for name, value in vars(kind).items():
            inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if isinstance(inner, types.FunctionType):
                self._use(f"{owner}:{name}", inner)

    def _read_module(self, module: types.ModuleType, owner: str) -> None:
        self.parts.add(f"{owner}: {_text(module)}")
        for name, value in vars(module).items():
            # What it defines itself is in its text; what it has from elsewhere is not.
            if (
                isinstance(value, types.ModuleType | types.FunctionType | type)
                and _is_own(value)
                and _module(value) != module.__name__
            ):
                self._use(f"{owner}:{name}", value)


def _name(thing: Any) -> str:
    return f"{_module(thing)}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _module(thing: Any) -> str:
    name = thing.__name__ if isinstance(thing, types.ModuleType) else getattr(thing, "__module__", None)
    return name if isinstance(name, str) else ""


def _is_own(thing: Any) -> bool:
    """Whether code is the user's: neither installed, nor Python's, nor ours."""
    package = _module(thing).partition(".")[0]
    if package in ("", "builtins", "dataflow") or (package in sys.stdlib_module_names and package != "__main__"):
        return False
    file = getattr(sys.modules.get(_module(thing)), "__file__", None) or ""
    return not file.startswith(_INSTALLED) and "-packages" not in file


def _used(function: types.FunctionType) -> dict[str, Any]:
    """What a function refers to outside of itself, by name; functions inside of it are looked through."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            # Not assigned yet.
            continue
    for code in _nested(function.__code__):
        found |= {n: function.__globals__[n] for n in code.co_names if n in function.__globals__}
    return found


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _text(thing: Any) -> str:
    code = getattr(thing, "__code__", None)
    if code is not None and code.co_name == "<lambda>":
        # Its source line may hold other things too, and other lambdas.
        return _code_text(code)
    try:
        return _bare(inspect.getsource(code or thing))
    except (OSError, TypeError, SyntaxError):
        # Typed into a console: the byte code stands in.
        return _code_text(code) if code is not None else _name(thing)


@functools.lru_cache(1024)
def _bare(source: str) -> str:
    """What a piece of source says without comments, docstrings and layout. Errors: SyntaxError."""
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _code_text(code: types.CodeType) -> str:
    constants = [_code_text(c) if isinstance(c, types.CodeType) else stable_text(c) for c in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants))
