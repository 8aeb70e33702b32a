"""The functions of tasks and repairs: found by import string, fit to be called."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from dataflow.errors import ConfigError, hint


def find_function(function: Callable[..., Any] | str, returns: str = "a LazyFrame") -> Callable[..., Any]:
    """The function itself, or the one that ``package.module:function`` names.

    Errors: ConfigError where there is no such module or name, or where it is not a plain function.
    """
    found = _imported(function) if isinstance(function, str) else function
    if not callable(found):
        raise ConfigError(f"{function} is of type {type(found).__name__}, not a function", key="function")
    if inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise ConfigError(f"{name_of(found)} must be a plain function that returns {returns}", key="function")
    return found


def name_of(function: Callable[..., Any]) -> str:
    """What a message calls the function."""
    return getattr(function, "__qualname__", None) or repr(function)


def _imported(text: str) -> Any:
    module_name, _, path = text.partition(":")
    if not module_name or not path:
        raise ConfigError(f"{text!r} is no import string; write it as package.module:function", key="function")
    found: Any = _module(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            names: list[str] = [n for n in dir(found) if not n.startswith("_")]
            public = [n for n in names if inspect.isroutine(getattr(found, n))]
            raise ConfigError(f"{text}: no {name!r} there{hint(name, public)}", key="function")
        found = getattr(found, name)
    return found


def _module(name: str) -> ModuleType:
    broken = f"module {name} cannot be imported"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{broken}: {error}; install what it needs", key="function") from None
        way_out = "install its package, or put its folder on PYTHONPATH"
        raise ConfigError(f"no module {error.name!r}{_siblings(error.name)}; {way_out}", key="function") from None
    except Exception as error:
        raise ConfigError(f"{broken}: {type(error).__name__}: {error}", key="function") from error


def _siblings(name: str) -> str:
    parent, _, last = name.rpartition(".")
    if not parent:
        return ""
    found = [module.name for module in pkgutil.iter_modules(import_module(parent).__path__)]
    return hint(last, found) if found else ""
