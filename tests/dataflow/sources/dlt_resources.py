"""Resources of dlt, as somebody writes them or finds them; nothing here knows of dataflow."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dlt
import polars as pl
import pyarrow as pa

EVENTS: list[dict[str, Any]] = []
"""What the source holds; tests add to it."""
BREAKS: list[Exception | None] = []
"""What happens before each page; then nothing any more."""


def _broken() -> None:
    if BREAKS and (error := BREAKS.pop(0)) is not None:
        raise error


@dlt.resource(primary_key="id")
def events(size: int, at: Any = dlt.sources.incremental("at")) -> Iterator[list[dict[str, Any]]]:  # noqa: B008
    """All events, in pages, whatever the cursor says: dlt leaves out what was there before."""
    for k in range(0, len(EVENTS), size):
        _broken()
        yield EVENTS[k : k + size]


@dlt.resource
def since(at: Any = dlt.sources.incremental("at", initial_value=datetime(2026, 1, 1, tzinfo=UTC))) -> Any:  # noqa: B008
    """Only what is new, as an API would give it."""
    yield [event for event in EVENTS if event["at"] >= at.last_value]


@dlt.resource
def listed() -> Any:
    """No cursor: everything, each time."""
    yield [*EVENTS]


@dlt.resource
def remembered() -> Any:
    """A cursor of its own making."""
    state = dlt.current.resource_state()
    given = state.setdefault("given", 0)
    yield EVENTS[given:]
    state["given"] = len(EVENTS)


@dlt.resource
def over_http(url: str, api_key: str, cursor: Any = dlt.sources.incremental("id", initial_value=0)) -> Any:  # noqa: B008
    """Pages of an API, until there are no more."""
    page: str | None = f"{url}/events?since={cursor.last_value}&key={api_key}"
    while page:
        with urllib.request.urlopen(page) as answer:
            found = json.load(answer)
        yield found["rows"]
        page = found["next"] and f"{url}{found['next']}&key={api_key}"


@dlt.resource(columns={"price": {"data_type": "double"}, "day": {"data_type": "date"}})
def hinted(rows: list[dict[str, Any]]) -> Any:
    """With types that are known beforehand."""
    yield rows


@dlt.resource
def frames() -> Any:
    """Frames of two kinds, and objects."""
    yield pa.table({"n": [1, 2], "kind": ["arrow", "arrow"]})
    yield pl.DataFrame({"n": [3], "kind": ["polars"]})
    yield [{"n": 4, "kind": "object"}]


@dlt.transformer(data_from=listed)
def doubled(items: Any) -> Any:
    """Rows that are made of another resource's."""
    yield [{"twice": item["id"] * 2} for item in items]


@dlt.source
def shop(prefix: str) -> Any:
    """A source of several resources."""
    return [
        dlt.resource([{"name": f"{prefix}-a"}], name="customers"),
        dlt.resource([{"name": f"{prefix}-o"}], name="orders"),
        listed,
        doubled,
    ]


@dlt.resource
def nothing() -> Any:
    """Empty pages, and none."""
    yield []
    yield None


@dlt.resource
def telling(login: dict[str, Any]) -> Any:
    """Fails, and quotes what it was given."""
    yield [{"n": 1}]
    raise ValueError(f"asked http://x?key={login['api_key'][0]} for {login['user']}")


@dlt.resource
def guarded(token: str = dlt.secrets.value) -> Any:
    """Does not work without a secret."""
    yield {"length": len(token)}


def plain(n: int) -> Any:
    """A generator that dlt has never heard of."""
    yield [{"n": n}]


def wrong() -> int:
    """Nothing that could be pulled."""
    return 7


ready = dlt.resource([{"n": 1}], name="ready")
