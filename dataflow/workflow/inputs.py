"""Which tables a task's function is called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from inspect import Parameter
from typing import Any

from dataflow.errors import ConfigError, hint
from dataflow.workflow.functions import name_of

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def resolve_inputs(function: Callable[..., Any], depends_on: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """The stages of ``depends_on``, else those that the function's parameters are named after.

    Errors: ConfigError for an unknown stage, for parameters that name none, and for too many or too few inputs.
    """
    if not depends_on:
        return _named_inputs(function, known)
    for name in depends_on:
        if name not in known:
            raise ConfigError(f"unknown stage {name!r}{hint(name, known)}", key="depends_on")
    twice = sorted({name for name in depends_on if list(depends_on).count(name) > 1})
    if twice:
        raise ConfigError(f"names {', '.join(twice)} twice; once is enough", key="depends_on")
    _check_arity(function, depends_on)
    return tuple(depends_on)


def _parameters(function: Callable[..., Any]) -> list[Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:  # some built-in functions do not tell
        return None


def _check_arity(function: Callable[..., Any], depends_on: Sequence[str]) -> None:
    parameters = _parameters(function)
    if parameters is None:
        return
    _check_keywords(function, parameters)
    takes = [p for p in parameters if p.kind in _POSITIONAL]
    needs = [p for p in takes if p.default is Parameter.empty]
    unbounded = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    if len(depends_on) < len(needs) or (len(depends_on) > len(takes) and not unbounded):
        names = ", ".join(p.name for p in takes) or "nothing"
        given = ", ".join(depends_on)
        raise ConfigError(
            f"{name_of(function)} takes {names}, but depends_on names {len(depends_on)}: {given}", key="depends_on"
        )


def _check_keywords(function: Callable[..., Any], parameters: Sequence[Parameter]) -> None:
    for p in parameters:
        if p.kind is Parameter.KEYWORD_ONLY and p.default is Parameter.empty:
            raise ConfigError(
                f"{name_of(function)} needs {p.name!r} by keyword, but tables come by position; give it a default",
                key="function",
            )


def _named_inputs(function: Callable[..., Any], known: Collection[str]) -> tuple[str, ...]:
    parameters = _parameters(function) or []
    _check_keywords(function, parameters)
    inputs: list[str] = []
    skipped: str | None = None
    for p in (p for p in parameters if p.kind in _POSITIONAL):
        if p.name not in known and p.default is Parameter.empty:
            raise _nameless(function, p.name, known)
        if p.name in known and skipped is not None:
            raise ConfigError(
                f"{name_of(function)}: put {p.name!r}, a table, before {skipped!r}, which is none", key="function"
            )
        if p.name in known:
            inputs.append(p.name)
        else:
            skipped = p.name
    if not inputs:
        raise ConfigError(
            f"{name_of(function)} has no parameter that is named after a source or task; name its inputs in "
            f"depends_on, or a parameter after one of: {', '.join(sorted(known))}",
            key="function",
        )
    return tuple(inputs)


def _nameless(function: Callable[..., Any], name: str, known: Collection[str]) -> ConfigError:
    return ConfigError(
        f"parameter {name!r} of {name_of(function)} is named after no source or task{hint(name, known)}; "
        "rename it, or name the inputs in depends_on",
        key="function",
    )
