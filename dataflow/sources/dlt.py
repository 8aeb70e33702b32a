"""Any resource of dlt: its sources for APIs, databases and files, and one's own; cursor, storage and retries are ours.

No pipeline of dlt runs: the resource is iterated with a state that comes from the spool and goes back there with the
rows. dlt writes nothing to the home directory and tells nobody of it.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
from collections.abc import Generator, Mapping
from importlib import import_module
from typing import Any, ClassVar, cast

import polars as pl
from pydantic import Field

from dataflow.errors import ConfigError, hint
from dataflow.model import Frozen
from dataflow.sources.registry import register_source
from dataflow.sources.spooled import Pull, SpooledSource, failure

_TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "double": pl.Float64(),
    "bool": pl.Boolean(),
    "timestamp": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
    "bigint": pl.Int64(),
    "binary": pl.Binary(),
    "json": pl.String(),
    "time": pl.String(),
}
"""What stands for dlt's types. Decimals keep the type that their values have: dlt's hints seldom tell their scale."""
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)


class DltConfig(Frozen):
    """Options of ``type: dlt``."""

    resource: str = Field(pattern=r"^[\w.]+:[\w.]+$")
    """``package.module:function``: a function decorated with ``@dlt.resource`` or ``@dlt.source``, or one that returns
    a resource or source."""
    resource_name: str | None = None
    """Which resource of a source; may be left out where there is but one."""
    arguments: dict[str, Any] = {}
    """What the function is called with. Write secrets as ``${VAR}``; dlt's own files for them are not needed."""


@register_source("dlt")
class DltSource(SpooledSource):
    """Pulls a resource of dlt, from where its cursor was after the last pull."""

    Config: ClassVar[type[Frozen]] = DltConfig
    config: DltConfig

    def __init__(self, name: str, config: DltConfig) -> None:
        super().__init__(name, config)
        if importlib.util.find_spec("dlt") is None:
            raise ConfigError(
                f"source {name!r}: type dlt needs the package dlt; install dataflow-lake[dlt]", source=name
            )
        self._declared: dict[str, pl.DataType] = {}

    def pull(self, state: dict[str, Any] | None) -> Pull:
        """The rows of the resource, as dlt would extract them: with its cursors, filters and transformers."""
        # Said before the first import, so that nothing is sent.
        os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
        from dlt.common.configuration.container import Container
        from dlt.common.configuration.exceptions import ConfigurationException
        from dlt.common.json import json as typed
        from dlt.common.pipeline import StateInjectableContext

        held: Any = typed.typed_loads(json.dumps(state)) if state else {}
        pages = [0]
        try:
            with Container().injectable_context(StateInjectableContext(state=held)):
                chosen, resource = self._chosen(pages)
                rows = iter(chosen)
            # The contexts that a row is made in are those in which the iterator was opened.
            yield from _taken(rows)
            self._declared = _declared(resource)
        except ConfigError:
            raise
        except ConfigurationException as error:
            # dlt goes on with all the places where it looked.
            told = self._covered(str(error)).splitlines()[0]
            raise ConfigError(f"{self._what}: {told}; give it in `arguments`", source=self.name) from error
        except Exception as error:
            cause = _cause(error)
            where = f"{self._what}, page {pages[0] + 1}"
            raise failure(where, cause, self._covered(str(cause)), source=self.name, page=pages[0] + 1) from cause
        return json.loads(typed.typed_dumps(held)) or None

    def declared(self) -> Mapping[str, pl.DataType]:
        """The types of the resource's ``columns``."""
        return self._declared

    @property
    def _what(self) -> str:
        name = f" ({self.config.resource_name})" if self.config.resource_name else ""
        return f"source {self.name!r}: dlt resource {self.config.resource}{name}"

    def _chosen(self, pages: list[int]) -> tuple[Any, Any]:
        """What is to be iterated, and the resource that the rows come from."""
        from dlt.extract.resource import DltResource
        from dlt.extract.source import DltSource as Several

        made = self._made()
        if isinstance(made, Several):
            names = list(made.resources)
            name = self.config.resource_name or (names[0] if len(names) == 1 else None)
            if name not in names:
                wrong = f"resource_name {name!r} is not in it" if name else "which of its resources is not said"
                raise ConfigError(
                    f"{self._what}: {wrong}{hint(name or '', names)}; set `resource_name`", source=self.name
                )
            chosen: Any = made.with_resources(name)
            resource: Any = chosen.resources[name]
        else:
            chosen = resource = made if isinstance(made, DltResource) else self._wrapped(made)
            if self.config.resource_name not in (None, resource.name):
                wrong = f"it is one resource, {resource.name!r}, not a source of several"
                raise ConfigError(f"{self._what}: {wrong}; leave out `resource_name`", source=self.name)

        def count(*_: Any) -> None:
            pages[0] += 1

        resource.add_metrics(count)
        return chosen, resource

    def _made(self) -> Any:
        from dlt.extract.resource import DltResource

        function, arguments = self._function(), self.config.arguments
        is_resource = isinstance(function, DltResource)
        if not callable(function) or (is_resource and function.args_bound and not arguments):
            return function
        made = cast(Any, function)
        try:
            if is_resource:
                # Its function is not called before it is iterated.
                return made(**arguments)
            inspect.signature(made).bind(**arguments)
        except TypeError as error:
            told = self._covered(str(error))
            raise ConfigError(
                f"{self._what} does not take these arguments: {told}; mend `arguments`", source=self.name
            ) from error
        return made(**arguments)

    def _function(self) -> Any:
        module_name, _, path = self.config.resource.partition(":")
        try:
            found: Any = import_module(module_name)
        except Exception as error:
            way_out = "install its package, or put its folder on PYTHONPATH"
            told = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{self._what} cannot be imported: {told}; {way_out}", source=self.name) from error
        for name in path.split("."):
            if not hasattr(found, name):
                public = [n for n in dir(found) if not n.startswith("_")]
                raise ConfigError(f"{self._what}: no {name!r} there{hint(name, public)}", source=self.name)
            found = getattr(found, name)
        return found

    def _wrapped(self, made: Any) -> Any:
        from dlt.extract.resource import DltResource

        if isinstance(made, Generator | list):
            name = self.config.resource.rpartition(":")[2].rpartition(".")[2]
            return DltResource.from_data(cast(Any, made), name=name)
        raise ConfigError(
            f"{self._what} gave {type(made).__name__}; name a function that is decorated with @dlt.resource or @dlt.source",
            source=self.name,
        )

    def _covered(self, text: str) -> str:
        """``text`` without secrets among the arguments: an error may quote the address that was asked."""
        for secret in sorted(_secrets(self.config.arguments), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def _taken(rows: Any) -> Generator[Any]:
    """Rows one by one: dlt takes pages of objects apart, and leaves frames whole."""
    try:
        yield from rows
    finally:
        if hasattr(rows, "close"):
            rows.close()


def _declared(resource: Any) -> dict[str, pl.DataType]:
    columns: dict[str, dict[str, Any]] = resource.compute_table_schema().get("columns", {})
    types = {name: _TYPES.get(column.get("data_type", "")) for name, column in columns.items()}
    return {name: dtype for name, dtype in types.items() if dtype is not None}


def _cause(error: BaseException) -> BaseException:
    """What the resource raised, under what dlt put around it."""
    while type(error).__module__.startswith("dlt.extract") and error.__cause__ is not None:
        error = error.__cause__
    return error


def _secrets(arguments: Any, named: bool = False) -> list[str]:
    if isinstance(arguments, Mapping):
        found = cast(Mapping[str, Any], arguments)
        return [s for key, value in found.items() for s in _secrets(value, named or bool(_SECRET.search(str(key))))]
    if isinstance(arguments, list | tuple):
        return [secret for value in cast(list[Any], arguments) for secret in _secrets(value, named)]
    return [str(arguments)] if named and arguments not in (None, "", True, False) else []
