"""Real resources of dlt: their cursors are ours, and nothing of theirs is left anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from pydantic import ValidationError

from dataflow.errors import ConfigError, SourceError, SourceUnavailable
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from dataflow.model.secrets import hide
from dataflow.sources import source_types
from dataflow.sources.dlt import DltConfig, DltSource
from tests.dataflow.sources import dlt_resources as there
from tests.dataflow.sources.asked import landed, values

HERE = "tests.dataflow.sources.dlt_resources"


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(there, "EVENTS", [])
    monkeypatch.setattr(there, "BREAKS", [])
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def made(lake: Lake, resource: str, name: str | None = None, **arguments: Any) -> DltSource:
    kind = source_types.find("dlt")
    assert kind is DltSource
    options = {"resource": f"{HERE}:{resource}", "resource_name": name, "arguments": arguments}
    source = DltSource("events", DltConfig.model_validate(options))
    source.attach(Spool(lake, "made", "events"))
    return source


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number), **more}


def test_a_cursor_moves_with_the_rows_and_survives(lake: Lake) -> None:
    there.EVENTS += [event(n) for n in range(5)]
    assert [5] == [file.rows for file in made(lake, "events", size=2).fetch()]
    assert () == made(lake, "events", size=2).fetch()
    # Two at the very instant at which the cursor stands: one is known.
    there.EVENTS += [{**event(99), "at": event(4)["at"]}, *(event(n) for n in range(5, 8))]
    assert [4] == [file.rows for file in made(lake, "events", size=3).fetch()]

    assert [0, 1, 2, 3, 4, 99, 5, 6, 7] == values(made(lake, "events", size=1), "id")
    assert pl.Datetime("us", "UTC") == landed(made(lake, "events", size=1)).schema["at"]
    assert "2026-01-01T07:00:00" in json.dumps(made(lake, "events", size=1).spool.state())


@pytest.mark.parametrize("resource", ["since", "remembered"])
def test_cursors_of_all_kinds_come_back_as_what_they_were(lake: Lake, resource: str) -> None:
    for upto in (3, 3, 5, 9):
        there.EVENTS[:] = [event(n) for n in range(upto)]
        made(lake, resource).fetch()

    assert [*range(9)] == values(made(lake, resource), "id")


def test_a_resource_without_a_cursor_gives_everything_again_where_something_changed(lake: Lake) -> None:
    there.EVENTS += [event(1), event(2)]
    assert [1, 0, 0] == [len(made(lake, "listed").fetch()) for _ in range(3)]
    there.EVENTS.append(event(3))
    made(lake, "listed").fetch()

    assert [1, 2, 1, 2, 3] == values(made(lake, "listed"), "id")


def test_a_resource_that_breaks_off_is_asked_again_from_where_it_was(lake: Lake) -> None:
    there.EVENTS += [event(n) for n in range(6)]
    there.BREAKS += [None, ConnectionResetError("away"), None, None, ValueError("bad cell 'x'")]
    source = made(lake, "events", size=2)

    with pytest.raises(
        SourceUnavailable,
        match=rf"source 'events': dlt resource {HERE}:events, page 2 was not answered: ConnectionResetError: away; nothing of this pull is kept, run again",
    ):
        source.fetch()
    with pytest.raises(
        SourceError, match=r":events, page 3 failed: ValueError: bad cell 'x'; nothing of this"
    ) as raised:
        source.fetch()
    assert (False, 3, []) == (raised.value.retryable, raised.value.page, source.items())

    source.fetch()
    assert [*range(6)] == values(source, "id")


class Api(BaseHTTPRequestHandler):
    """Events with ids after ``since``, three to a page; the second page of all fails once."""

    ids = 0
    asked: list[str]

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        self.asked.append(self.path)
        if asked.get("key") != ["s3cret-key"]:
            self._answer(401, {})
            return
        if len(self.asked) == 2:
            self._answer(503, {})
            return
        first = int(asked["since"][0]) + 1
        rows = [{"id": n, "tags": ["a", n]} for n in range(first, min(first + 3, self.ids + 1))]
        more = f"/events?since={rows[-1]['id']}" if rows and rows[-1]["id"] < self.ids else None
        self._answer(200, {"rows": rows, "next": more})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def api() -> Iterator[tuple[str, type[Api]]]:
    kind = type("Served", (Api,), {"asked": [], "ids": 7})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kind
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_api_is_read_page_by_page_and_only_what_is_new(lake: Lake, api: tuple[str, type[Api]]) -> None:
    url, served = api
    source = made(lake, "over_http", url=url, api_key="s3cret-key")

    with pytest.raises(SourceUnavailable, match=r"page 2 was not answered: HTTPError: HTTP Error 503"):
        source.fetch()
    source.fetch()
    assert 5 == len(served.asked)
    served.ids = 8
    source.fetch()

    # Asked from the cursor on, which the API takes as "after".
    assert "since=7" in served.asked[-1]
    assert [*range(1, 9)] == values(source, "id")
    assert ['["a",1]', '["a",2]'] == values(source, "tags")[:2]


def test_the_rest_api_source_of_dlt_works_from_yaml_alone(lake: Lake, api: tuple[str, type[Api]]) -> None:
    pytest.importorskip("dlt.sources.rest_api")
    url, served = api
    served.asked.extend(["", ""])
    endpoint = {
        "path": "events",
        "params": {"key": "s3cret-key", "since": "{incremental.start_value}"},
        "data_selector": "rows",
        "paginator": {"type": "json_link", "next_url_path": "next"},
        "incremental": {"cursor_path": "id", "initial_value": 4},
    }
    config = {"client": {"base_url": url}, "resources": [{"name": "events", "endpoint": endpoint}]}
    options = {"resource": "dlt.sources.rest_api:rest_api_source", "arguments": {"config": config}}
    source = DltSource("events", DltConfig.model_validate(options))
    source.attach(Spool(lake, "made", "events"))

    source.fetch()
    assert [5, 6, 7] == values(source, "id")
    served.ids = 8
    source.fetch()
    assert [5, 6, 7, 8] == values(source, "id")


def test_secrets_among_the_arguments_are_not_told(lake: Lake) -> None:
    source = made(lake, "telling", login={"api_key": ["s3cret-key"], "user": "ann"})

    with pytest.raises(SourceError, match=r"page 2 failed: ValueError: asked http://x\?key=\*\*\* for ann; nothing of"):
        source.fetch()


def test_of_two_secrets_that_begin_alike_neither_is_told(lake: Lake) -> None:
    source = made(lake, "telling", login={"token": "s3cret", "api_key": ["s3cret-key"], "user": "ann"})

    with pytest.raises(SourceError, match=r"asked http://x\?key=\*\*\* for ann"):
        source.fetch()


def test_a_secret_that_came_by_a_variable_is_not_told_whatever_the_argument_is_called(lake: Lake) -> None:
    hide(["pw-by-variable"])
    source = made(lake, "telling", login={"api_key": ["x-1"], "user": "postgres://ann:pw-by-variable@host"})

    with pytest.raises(SourceError, match="for postgres://ann:•••@host;"):
        source.fetch()


def test_types_that_a_resource_declares_are_held(lake: Lake) -> None:
    rows = [{"price": 1, "day": "2026-01-17", "other": 1}, {"price": "dear", "day": None, "other": 2}]
    source = made(lake, "hinted", rows=rows)
    source.fetch()

    frame = landed(source)
    assert {"price": pl.Float64(), "day": pl.Date(), "other": pl.Int64()}.items() <= dict(frame.schema).items()
    assert [(1.0, date(2026, 1, 17), None)] == frame.select("price", "day", "_broken").head(1).rows()
    assert ["column 'price': a value of type string that is no float64"] == frame["_broken"].drop_nulls().to_list()


def test_frames_and_objects_may_be_mixed(lake: Lake) -> None:
    source = made(lake, "frames")
    source.fetch()

    assert [(1, "arrow"), (2, "arrow"), (3, "polars"), (4, "object")] == landed(source).select("n", "kind").rows()


def test_nested_values_are_json_text(lake: Lake) -> None:
    there.EVENTS += [event(1, of={"a": [1, {"b": None}]}), event(2, of=None)]
    source = made(lake, "listed")
    source.fetch()

    assert ['{"a":[1,{"b":null}]}', None] == values(source, "of")


def test_a_column_that_comes_later_is_null_before(lake: Lake) -> None:
    there.EVENTS.append(event(1))
    source = made(lake, "events", size=1)
    source.fetch()
    there.EVENTS.append(event(2, late="x"))
    source.fetch()

    assert [None, "x"] == values(source, "late")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("customers", [{"name": "p-a"}]), ("orders", [{"name": "p-o"}]), ("doubled", [{"twice": 14}])],
)
def test_one_resource_of_a_source_is_pulled(lake: Lake, name: str, expected: list[dict[str, Any]]) -> None:
    there.EVENTS.append(event(7))
    source = made(lake, "shop", name, prefix="p")
    source.fetch()

    assert expected == landed(source).drop("_n").to_dicts()


def test_a_resource_may_be_a_generator_or_ready_made(lake: Lake) -> None:
    made(lake, "plain", n=5).fetch()
    made(lake, "ready").fetch()

    assert [5, 1] == values(made(lake, "ready"))


def test_a_resource_that_gives_nothing_leaves_nothing(lake: Lake) -> None:
    source = made(lake, "nothing")

    assert () == source.fetch()
    assert [] == source.items()


@pytest.mark.parametrize(
    ("resource", "name", "arguments", "says"),
    [
        ("event", None, {}, r"no 'event' there; did you mean 'events'\?"),
        ("shop", None, {"prefix": "p"}, r"which of its resources is not said; accepted: customers, doubled, listed"),
        ("shop", "order", {"prefix": "p"}, r"\(order\): resource_name 'order' is not in it; did you mean 'orders'\?"),
        ("listed", "orders", {}, r"it is one resource, 'listed', not a source of several; leave out `resource_name`"),
        ("events", None, {}, r"does not take these arguments: .*missing.*'size'; mend `arguments`"),
        ("events", None, {"sice": 1}, r"does not take these arguments: .*'size'|'sice'.*; mend `arguments`"),
        ("plain", None, {"n": 1, "m": 1}, r"does not take these arguments: got an unexpected keyword argument 'm'"),
        ("wrong", None, {}, r"gave int; name a function that is decorated with @dlt.resource or @dlt.source"),
        ("guarded", None, {}, r"Missing 1 field\(s\) in configuration .*`token`; give it in `arguments`$"),
    ],
)
def test_a_resource_that_cannot_be_made_says_why(
    lake: Lake, resource: str, name: str | None, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=rf"source 'events': dlt resource {HERE}:{resource}.*(?:{says})"):
        made(lake, resource, name, **arguments).fetch()


def test_a_module_that_cannot_be_imported_is_named(lake: Lake) -> None:
    source = DltSource("events", DltConfig.model_validate({"resource": "nowhere.at_all:events"}))
    source.attach(Spool(lake, "made", "events"))

    with pytest.raises(
        ConfigError, match=r"nowhere\.at_all:events cannot be imported: ModuleNotFoundError: .*PYTHONPATH"
    ):
        source.fetch()


def test_a_resource_is_written_as_an_import_string() -> None:
    with pytest.raises(ValidationError, match="pattern"):
        DltConfig.model_validate({"resource": "events"})


def test_without_dlt_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflow.sources.dlt.importlib.util.find_spec", lambda name: None)

    with pytest.raises(
        ConfigError, match=r"source 'events': type dlt needs the package dlt; install dataflow-lake\[dlt\]"
    ):
        DltSource("events", DltConfig.model_validate({"resource": "a:b"}))


ALONE = """
import socket, sys

def refuse(*args, **kwargs):
    raise SystemExit(f"somebody wants to talk to {args}")

socket.socket.connect = socket.getaddrinfo = refuse
from dataflow.lake.lake import Lake
from dataflow.lake.spool import Spool
from dataflow.sources import source_types
kind = source_types.find("dlt")
source = kind("events", kind.Config(resource="tests.dataflow.sources.dlt_resources:frames"))
assert "dlt" not in sys.modules
source.attach(Spool(Lake("lake"), "made", "events"))
print(sum(file.rows for file in source.fetch()))
assert "dlt" in sys.modules
"""


def test_dlt_writes_and_tells_nothing_of_its_own_and_is_imported_when_it_is_asked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "cwd").mkdir()
    root = Path(__file__).parents[3]
    told = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path / "cwd",
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "4\n") == (told.returncode, told.stdout), told.stderr
    assert [] == os.listdir(home)
    assert ["lake"] == os.listdir(tmp_path / "cwd")
