"""How gates are spelled in YAML: routes, scopes, suites, limits; and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dataflow.config import (
    PipelineConfig,
    QuarantineLimitConfig,
    RepairConfig,
    RouteConfig,
    RuleConfig,
    SuiteConfig,
    TaskConfig,
    load,
)
from dataflow.errors import ConfigError
from dataflow.quality.routes import QuarantineLimit

WHOLE = """\
pipeline: shop
sources:
  orders:
    path: a.csv
    pii: [email]
    quarantine_limit: {rows: 5}
    gate: [{suite: checks/orders.json}]
stages:
  clean:
    function: shop:clean
    when: orders.some.failed > 0
    quarantine_limit: {rows: 100, share: 1 %}
    pii: [email, phone]
    gate:
      - {name: a, predicate: x > 1, on_fail: drop}
      - suite: ../clean.json
      - {name: b, predicate: x > 1, on_fail: {branch: other}}
      - name: c
        predicate: x > 1
        scope: row
        on_fail: {repair: {column: x, function: shop:mend}}
      - suite: s3://bucket/clean.json
data_docs: false
"""


def test_a_gate_as_people_write_it(tmp_path: Path):
    path = tmp_path / "shop.yaml"
    path.write_text(WHOLE)
    config = load(path)
    orders, clean = config.sources["orders"], config.stages["clean"]
    assert (("email",), QuarantineLimitConfig(rows=5)) == (orders.pii, orders.quarantine_limit)
    assert (SuiteConfig(suite=str(tmp_path / "checks/orders.json")),) == orders.gate
    assert "orders.some.failed > 0" == clean.when
    assert (("email", "phone"), QuarantineLimitConfig(rows=100, share=0.01)) == (clean.pii, clean.quarantine_limit)
    repair = RouteConfig(repair=RepairConfig(column="x", function="shop:mend"))
    assert clean.gate == (
        RuleConfig(name="a", predicate="x > 1", on_fail="drop"),
        SuiteConfig(suite=str(tmp_path.parent / "clean.json")),
        RuleConfig(name="b", predicate="x > 1", on_fail=RouteConfig(branch="other")),
        RuleConfig(name="c", predicate="x > 1", scope="row", on_fail=repair),
        SuiteConfig(suite="s3://bucket/clean.json"),
    )
    assert not config.data_docs
    assert config == PipelineConfig.model_validate_json(config.model_dump_json())


def test_suites_are_found_by_overrides_too(tmp_path: Path):
    path = tmp_path / "shop.yaml"
    path.write_text(WHOLE)
    clean = load(path, overrides=["stages.clean.gate.b.on_fail.branch=third", "stages.clean.gate.1.suite=/x.json"])
    assert ("third", "/x.json") == (clean.stages["clean"].gate[2].on_fail.branch, clean.stages["clean"].gate[1].suite)  # type: ignore[union-attr]
    with pytest.raises(
        ConfigError, match=r"unknown item of stages.clean.gate 'd'; accepted: \.\./clean\.json, a, b, c, s3"
    ):
        load(path, overrides=["stages.clean.gate.d.mostly=1"])


def refusal(tmp_path: Path, rest: str) -> list[str]:
    path = tmp_path / "s.yaml"
    path.write_text(f"pipeline: shop\nsources: {{orders: {{path: a.csv, {rest}}}}}\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).replace(f"{tmp_path}/s.yaml:2: sources.orders.", "").splitlines()


ROUTE = "write {repair: {column: …, function: …}} or {branch: stage}"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{suite: 3}", "gate.0.suite: a text is expected (found 3)"),
        ("{suite: a.json, nam: x}", "gate.0.nam: unknown key; accepted: suite"),
        (
            "{name: a, predicat: x}",
            "gate.0.predicat: unknown key; did you mean 'predicate'? accepted: expectation, mostly",
        ),
        (
            "{name: a, on_fail: quarantin}",
            "gate.0.on_fail: unknown value; did you mean 'quarantine'? accepted: drop, fail",
        ),
        ("{name: a, on_fail: 3}", "gate.0.on_fail: unknown value; accepted: drop, fail, quarantine, warn (found 3)"),
        ("{name: a, on_fail: {}}", f"gate.0.on_fail: {ROUTE}"),
        ("{name: a, on_fail: {branch: b, repair: {column: a, function: b}}}", f"gate.0.on_fail: {ROUTE}"),
        ("{name: a, on_fail: {repiar: {column: a}}}", "gate.0.on_fail.repiar: unknown key; did you mean 'repair'?"),
        ("{name: a, on_fail: {repair: m:f}}", "gate.0.on_fail.repair: keys with values are expected (found 'm:f')"),
        ("{name: a, on_fail: {repair: {column: a}}}", "gate.0.on_fail.repair.function: is missing; it is required"),
        (
            "{name: a, on_fail: {repair: {colunm: a, function: b}}}",
            "gate.0.on_fail.repair.colunm: unknown key; did you mean 'column'? accepted: column, function",
        ),
        ("{name: a, scope: tabel}", "gate.0.scope: unknown value; did you mean 'table'? accepted: batch, row, table"),
        ("3", "gate.0: keys with values are expected (found 3)"),
    ],
)
def test_each_mistake_in_a_gate_is_placed(tmp_path: Path, entry: str, message: str):
    assert refusal(tmp_path, f"gate: [{entry}]")[0].startswith(message)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("{}", ": needs rows, share or both, as in {rows: 100, share: 1 %}"),
        ("{row: 1}", ".row: unknown key; did you mean 'rows'? accepted: rows, share"),
        ("{rows: -1}", ".rows: should be greater than or equal to 0 (found -1)"),
        (
            "{share: 2}",
            ".share: a share of the rows is expected, from 0 to 1 or as a percentage: 0.01 or '1 %' (found 2)",
        ),
        ("{share: 150 %}", ".share: a share of the rows is expected"),
        ("{share: few}", ".share: a share of the rows is expected"),
        ("{share: true}", ".share: a share of the rows is expected"),
        ("3", ": keys with values are expected (found 3)"),
    ],
)
def test_limits_that_are_none(tmp_path: Path, limit: str, message: str):
    assert refusal(tmp_path, f"quarantine_limit: {limit}")[0].startswith(f"quarantine_limit{message}")


@pytest.mark.parametrize(
    ("share", "expected"), [("1 %", 0.01), ("0.5%", 0.005), (" 100 % ", 1.0), (0, 0.0), (0.25, 0.25)]
)
def test_shares(share: Any, expected: float):
    assert expected == QuarantineLimitConfig(share=share).share


def test_a_limit_that_was_made_before_is_taken():
    assert QuarantineLimitConfig(rows=3) == QuarantineLimitConfig.model_validate(QuarantineLimit(rows=3))


def test_a_condition_may_not_be_empty():
    with pytest.raises(ValidationError):
        TaskConfig(function="a:b", when="")
