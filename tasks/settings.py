"""The project's Prefect settings, applied wherever a process starts.

Prefect reads ``prefect.toml`` only from the working directory. This module, imported before
anything of Prefect, turns the project's file into environment variables, which the server that
Prefect may start inherits. What the user has set in the environment stays as it is.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_CANDIDATES = (_HERE.parent / "prefect.toml", _HERE / "prefect.toml")  # a checkout; an installed wheel


def apply(environment: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Set what the environment leaves open; answer what was set."""
    if not environment.get("PREFECT_API_URL", "unset").strip():
        del environment["PREFECT_API_URL"]  # Prefect would log errors about an empty address
    wanted = {"DO_NOT_TRACK": "1", **project_settings()}
    added = {name: value for name, value in wanted.items() if name not in environment}
    environment.update(added)
    if "prefect.context" in sys.modules:  # imported before us: have it look again
        sys.modules["prefect.context"].refresh_global_settings_context()
    return added


def project_settings() -> dict[str, str]:
    """What ``prefect.toml`` says, as environment variables."""
    for path in _CANDIDATES:
        if path.is_file():
            return dict(_variables(tomllib.loads(path.read_text(encoding="utf-8")), "PREFECT"))
    raise FileNotFoundError(f"prefect.toml is missing: it belongs at {_CANDIDATES[0]}; restore it from the repository")


def _variables(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{prefix}_{key.upper()}"
        if isinstance(value, dict):
            yield from _variables(value, name)
        else:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)


apply()
