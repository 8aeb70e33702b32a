from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dataflow.quality.data_docs import build_data_docs
from tests.browser.chromium import opened
from tests.dataflow.quality.docs_results import MIXED, NOON

pytestmark = pytest.mark.browser
PROBE = """
<script>addEventListener("load", () => {
  const style = getComputedStyle(document.querySelector(".alert, .table"));
  const signs = [...document.querySelectorAll("i.fas")].map((i) => getComputedStyle(i, "::before").content);
  document.body.dataset.probe = [style.display, getComputedStyle(document.body).fontSize,
    getComputedStyle(document.querySelector("nav")).position, new Set(signs).size].join(" ");
});</script>"""
"""Asks a page, in the page, whether its styles are there."""


class Handler(SimpleHTTPRequestHandler):
    asked: list[str] = []

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        self.asked.append(f"{int(code)} {self.path}")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    Handler.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    build_data_docs([("orders", "b1", NOON, MIXED)], str(tmp_path / "site"))
    return tmp_path / "site"


def test_a_browser_without_a_network_shows_data_docs_in_full(site: Path, tmp_path: Path):
    (page,) = (site / "batches" / "orders").iterdir()
    for each in (page, site / "index.html"):
        each.write_text(each.read_text() + PROBE)

    with served(site) as address:
        shown = {
            name: opened(f"{address}/{name}", tmp_path / "profile") for name in ("index.html", page.relative_to(site))
        }

    assert {f"200 /static/{name}" for name in ("bootstrap.min.css", "docs.css", "docs.js")} < set(Handler.asked)
    assert [] == [line for line in Handler.asked if not line.startswith(("200", "304"))]
    assert ["", ""] == [page.console for page in shown.values()]
    assert ["table 16px sticky 1", "block 16px sticky 3"] == [probe(page.dom) for page in shown.values()]


def probe(dom: str) -> str:
    return dom.split('data-probe="', 1)[1].split('"', 1)[0]


def test_from_a_folder_too_a_page_can_hide_what_passed(site: Path, tmp_path: Path):
    (page,) = (site / "batches" / "orders").iterdir()
    click = '<script>addEventListener("load", () => document.querySelector("[value=failed]").click())</script>'
    page.write_text(page.read_text() + click)

    shown = opened(page.as_uri(), tmp_path / "profile")

    assert "" == shown.console
    assert '<body class="only-failed">' in shown.dom
    rows = [row for row in shown.dom.split("<tr")[1:] if "fas fa-" in row]
    assert {"has_id", "spread"} == {rule for row in rows for rule in ("has_id", "known", "spread") if
                                    row.startswith(' class="passed"') and f"<span>{rule}</span>" in row}  # fmt: skip
