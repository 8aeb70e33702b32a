"""What the environment says about a configuration: variables of the process, and of files ``.env``."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from dataflow.config.document import Origin, shown
from dataflow.config.overrides import Setting, read_value
from dataflow.config.paths import anchored
from dataflow.errors import ConfigError
from dataflow.model.secrets import hide_named

PREFIX = "DATAFLOW__"
CONFIG = "PIPELINE_CONFIG"
RAW_DATA = "RAW_DATA_PATH"
NAMED = {"DELTA_TABLE_PATH": ("lake",), "LOG_LEVEL": ("logging", "level"), "LOG_FORMAT": ("logging", "format")}
"""Variables that stand for one key."""
_PATHS = (CONFIG, RAW_DATA, "DELTA_TABLE_PATH")
_ENV_FILE = ".env"


@dataclass(frozen=True)
class Environment:
    """Variables, and what each of them comes from. An empty one of those that we name counts as not set."""

    values: Mapping[str, str]
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    """Of variables that a file brings."""

    @classmethod
    def of_process(cls, *folders: Path) -> Environment:
        """The process's variables, and those of the ``.env`` of the working directory and of ``folders``.

        The process's go before those of files, and an earlier file's before a later one's.
        Errors: ConfigError for a file that cannot be read.
        """
        values: dict[str, str] = {}
        origins: dict[str, Origin] = {}
        files = dict.fromkeys(folder.absolute() / _ENV_FILE for folder in (Path.cwd(), *folders))
        for file in reversed(files):
            found = _read(file)
            values |= found
            origins |= {name: Origin(".env", name, file=file) for name in found}
        ours = os.environ
        return cls({**values, **ours}, {name: origin for name, origin in origins.items() if name not in ours})

    def origin(self, name: str) -> Origin:
        """Where a variable is set."""
        return self.origins.get(name, Origin("environment", name))

    def path(self, name: str) -> str | None:
        """A variable that holds a path, counted from the working directory or from the folder of its ``.env``."""
        text = self.values.get(name, "").strip()
        file = self.origin(name).file
        return anchored(text, Path.cwd() if file is None else file.parent) if text else None

    def settings(self) -> list[Setting]:
        """What variables say about keys, in the order in which they count: the last one most.

        Errors: ConfigError for a variable whose name holds no keys, or whose value is not valid YAML.
        """
        return sorted(self._settings(), key=lambda setting: setting.origin.layer == "environment")

    def _settings(self) -> Iterator[Setting]:
        for name, key in NAMED.items():
            value = self.path(name) if name in _PATHS else self.values.get(name)
            if value:
                yield Setting(key, value, self.origin(name))
        for name in sorted(self.values):
            if name.startswith(PREFIX) and self.values[name].strip():
                origin = self.origin(name)
                parts = tuple(name.removeprefix(PREFIX).lower().split("__"))
                if not all(parts):
                    raise ConfigError(f"{origin}: write it as {PREFIX}SECTION__KEY, as in {PREFIX}RUN__THREADS=4")
                hide_named({name: self.values[name]})
                yield Setting(parts, read_value(self.values[name], str(origin)), origin)


def _read(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown(file)}: cannot be read: {error}; mend the file, or remove it") from None
    for line in parse_stream(io.StringIO(text)):
        if line.error:
            # It is not quoted: a secret may stand in it.
            raise ConfigError(f"{shown(file)}:{line.original.line}: is no NAME=value; mend the line, or remove it")
    found = cast(Mapping[str, str | None], dotenv_values(stream=io.StringIO(text)))
    return {name: value for name, value in found.items() if value is not None}
