"""``flows/etl.py config``: what a configuration comes to, whether it is right, and what editors need to know of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from dataflow import Workflow
from dataflow.config import Flags, Loaded
from dataflow.config.resolved import Resolved, resolved
from dataflow.config.schema import json_schema
from dataflow.errors import ConfigError
from flows.terminal import (
    AsJson,
    ConfigFile,
    LakePlace,
    Mode,
    Overrides,
    Paths,
    Scale,
    Seed,
    Source,
    Strategies,
    errors_told,
    read_config,
    say,
)

_PLAIN = re.compile(r"(?![-?:,\[\]{}#&*!|>'\"%@` ])[^\n#]*(?<![ :])")
_LIKE_OTHERS = re.compile(r"(?i)null|~|true|false|[-+.\d][\d_.eE+-]*|")
_COMMENTS_AT = 56


class What(StrEnum):
    """What is to be told of a configuration."""

    show = "show"
    check = "check"
    schema = "schema"


def config(
    what: Annotated[
        What,
        typer.Argument(
            help="show: every value and what says it; check: all that is wrong; schema: the JSON schema for editors."
        ),
    ],
    config: ConfigFile = None,
    source: Source = None,
    mode: Mode = None,
    scale: Scale = None,
    seed: Seed = None,
    path: Paths = None,
    strategy: Strategies = None,
    lake: LakePlace = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> int:
    """Show, check or describe the configuration; run nothing. Exit code 2 where something is wrong with it."""
    several = {"path": tuple(path or ()), "strategy": tuple(strategy or ())}
    flags = Flags.model_validate(
        {"source": source, "mode": mode, "scale": scale, "seed": seed, "lake": lake, **several}
    )
    with errors_told(debug=False, as_json=as_json) as outcome:
        if what is What.schema:
            _refuse(flags, overrides or ())
            say(json.dumps(json_schema(), indent=2))
        else:
            tell = show if what is What.show else check
            tell(read_config(config, flags, overrides or ()), as_json=as_json)
        outcome.code = 0
    return outcome.code


def show(loaded: Loaded, *, as_json: bool) -> None:
    """Print every value, and what says it."""
    values = resolved(loaded)
    if as_json:
        say(json.dumps({"values": [_as_json(value) for value in values]}, indent=2, ensure_ascii=False))
        return
    told = [value for value in values if value.value is not None or value.origin is not None]
    say("\n".join(_lines(told)))


def check(loaded: Loaded, *, as_json: bool) -> None:
    """Say that a configuration is right; where it is not, this raises.

    Errors: ConfigError that lists all problems with file and line; PlanError for a cycle.
    """
    stages = Workflow.from_loaded(loaded).stages.values()
    sources = sum(stage.kind == "source" for stage in stages)
    if as_json:
        say(json.dumps({"ok": True, "sources": sources, "stages": len(stages) - sources}))
    else:
        say(f"ok: {_count(sources, 'source')}, {_count(len(stages) - sources, 'stage')}")


def _refuse(flags: Flags, overrides: Sequence[str]) -> None:
    if given := [*flags.given(), *(["set"] if overrides else [])]:
        options = " and ".join(f"--{name}" for name in given)
        raise ConfigError(f"config schema is the same for every configuration; leave {options} out")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _as_json(value: Resolved) -> dict[str, Any]:
    origin = value.origin
    return {
        "key": ".".join(map(str, value.key)),
        "value": value.value,
        "layer": "default" if origin is None else origin.layer,
        "said_by": None if origin is None else str(origin),
        "inactive": value.inactive or None,
    }


def _lines(values: Sequence[Resolved]) -> Iterator[str]:
    """Text like YAML, with what says a value behind it."""
    before: tuple[str | int, ...] = ()
    for value in values:
        shared = next((n for n, (a, b) in enumerate(zip(before, value.key, strict=False)) if a != b), len(before))
        lead = ""
        for depth, part in enumerate(value.key[:-1]):
            if depth < shared:
                continue
            if isinstance(part, int):
                lead = f"{'  ' * depth}- "
            else:
                yield f"{lead or '  ' * depth}{part}:"
                lead = ""
        last = value.key[-1]
        text = (
            f"{lead or '  ' * (len(value.key) - 1)}{'-' if isinstance(last, int) else f'{last}:'} {_text(value.value)}"
        )
        said = "default" if value.origin is None else str(value.origin)
        yield f"{text:<{_COMMENTS_AT}}  # {said}{f', inactive: {value.inactive}' if value.inactive else ''}"
        before = value.key


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _LIKE_OTHERS.fullmatch(value) and ": " not in value:
        return value
    return json.dumps(value, ensure_ascii=False)
