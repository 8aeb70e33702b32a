"""Relative paths, counted from a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast


def anchored(path: str, folder: Path) -> str:
    """``path`` counted from ``folder``, unless it is absolute or a URI.

    Example:
        >>> anchored("../lake", Path("/etc/pipelines")), anchored("s3://bucket/lake", Path("/etc"))
        ('/etc/lake', 's3://bucket/lake')
    """
    return path if "://" in path else os.path.normpath(folder / Path(path).expanduser())


def anchored_options(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The options of a source with ``path``, one or several, counted from ``folder``."""
    path = options.get("path")
    if isinstance(path, str):
        return {**options, "path": anchored(path, folder)}
    if isinstance(path, (list, tuple)):
        return {**options, "path": [anchored(str(each), folder) for each in cast(list[Any], path)]}
    return options
