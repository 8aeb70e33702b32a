"""A bucket that answers 500 and 503, is slow, drops connections, and whose answers get lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataflow import DataFlowError, Engine, Workflow
from dataflow.lake.journal import Journal
from dataflow.lake.lake import Lake
from dataflow.lake.state import Intent
from dataflow.model import RunReport
from tests.faults.sample import parameters
from tests.services.proxy import Proxy, Rule, proxied
from tests.services.test_s3 import endpoint, typed

pytestmark = [pytest.mark.services, pytest.mark.faults]
fixtures = (endpoint,)
GOT_OVER = [
    Rule("500", every=9, first=3),
    Rule("503", every=5, methods=("PUT",)),
    Rule("slow", every=25),
    Rule("refused", every=9, first=3),
    Rule("cut", every=9, methods=("PUT", "POST")),
    Rule("unheard", every=9, first=3),
    Rule("unheard", every=3, methods=("PUT",), path="/_delta_log/"),
]
"""What a run does not even tell of."""
NOT_GOT_OVER = [
    Rule("cut", every=5, first=2),
    Rule("cut", first=4, last=60, path="/typed/_delta_log"),
    Rule("cut", first=12, path="/_journal/"),
]
"""What may well end a run."""


def workflow(folder: Path) -> Workflow:
    """Two tables, one of them with a quarantine."""
    made = Workflow("orders")
    made.add_source("raw", {"path": str(folder / "*.csv"), "retry": {"delay_seconds": 0}})
    gate = [{"name": "amount", "predicate": "amount IS NOT NULL"}]
    made.add_task("typed", typed, ["raw"], gate=gate, retry={"delay_seconds": 0})
    return made


@pytest.fixture(scope="module")
def proxy(endpoint: str) -> Iterator[Proxy]:
    with proxied(endpoint) as proxy:
        yield proxy


@pytest.fixture
def engine(request: pytest.FixtureRequest, proxy: Proxy, tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "1.csv").write_text("day,amount\nmon,1\nmon,x\ntue,3\n")
    options = {
        "aws_access_key_id": "k",
        "aws_secret_access_key": "s",
        "aws_endpoint_url": proxy.url,
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
    }
    yield Engine(f"s3://bucket/{abs(hash(request.node.name))}", runner="inline", storage_options=options)
    proxy.obey()


def attempt(engine: Engine, folder: Path) -> RunReport | DataFlowError:
    """What a run comes to: its report, or an error of ours."""
    try:
        return engine.execute(workflow(folder))
    except DataFlowError as error:
        return error


def assert_whole(engine: Engine, folder: Path) -> None:
    """Every row is there once, every batch is published once, and there is nothing to do."""
    assert "skipped" == engine.execute(workflow(folder)).state
    lake: Lake = engine.lake(workflow(folder))
    assert [("mon", 1), ("tue", 3)] == sorted(lake.read("typed").select("day", "amount").collect().rows())
    assert 1 == lake.read("typed__quarantine").collect().height
    entries = Journal(lake).entries(archived=True)
    published = [str(entry.batch_id) for entry in entries if entry.kind == "published"]
    assert sorted({*published}) == sorted(published)
    intents = [Intent.model_validate_json(entry.body) for entry in entries if entry.kind == "intent"]
    assert [None] * len(intents) == [intent.counts.imbalance for intent in intents]


@pytest.mark.parametrize("rule", parameters("s3", GOT_OVER))
def test_what_passes_is_got_over(engine: Engine, proxy: Proxy, tmp_path: Path, rule: Rule):
    proxy.obey(rule)

    report = attempt(engine, tmp_path)
    happened = proxy.happened
    proxy.obey()

    assert happened[rule.trouble] > 0
    assert isinstance(report, RunReport), report
    assert ("completed", "") == (report.state, report.reason)
    assert_whole(engine, tmp_path)


@pytest.mark.parametrize("rule", parameters("s3 broken", NOT_GOT_OVER))
def test_what_does_not_pass_ends_a_run_cleanly_and_the_next_is_whole(
    engine: Engine, proxy: Proxy, tmp_path: Path, rule: Rule
):
    proxy.obey(rule)

    came_to = attempt(engine, tmp_path)
    happened = proxy.happened
    proxy.obey()

    assert happened[rule.trouble] > 0
    if isinstance(came_to, RunReport):
        assert came_to.state in ("completed", "failed")
        assert ("s3://bucket/" in came_to.reason) == (came_to.state == "failed")
    else:
        assert "s3://bucket/" in str(came_to)
    assert engine.execute(workflow(tmp_path)).state in ("completed", "skipped")
    assert_whole(engine, tmp_path)
