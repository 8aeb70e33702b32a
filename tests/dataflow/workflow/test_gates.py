"""Gates as a workflow declares them: rules, suites, routes, limits, personal data, alerts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dataflow.config import RuleConfig, Secret, SlackAlert, SuiteConfig
from dataflow.errors import ConfigError
from dataflow.plan import stage_fingerprint
from dataflow.quality.routes import Branch, QuarantineLimit, Repair
from dataflow.quality.rules import ValidationRule
from dataflow.quality.suites import save_suite
from dataflow.workflow import Workflow
from dataflow.workflow.gates import Rule

MODULE = """\
def clean(orders):
    return orders

def other(orders):
    return orders

def mend(text):
    return text.str.strip_chars()

async def later(text):
    return text
"""

YAML = """\
pipeline: shop
sources:
  orders:
    path: orders.csv
    pii: [email]
    quarantine_limit: {share: 1 %}
    gate:
      - {suite: checks/orders.json}
      - {name: known, predicate: id > 0, scope: row, on_fail: drop}
stages:
  clean:
    function: shop_gates:clean
    when: orders.known.failed > 0
    pii: [email, phone]
    quarantine_limit: {rows: 5, share: 0.5}
    gate:
      - name: mended
        predicate: email MATCHES '@'
        on_fail: {repair: {column: email, function: shop_gates:mend}}
      - {name: many, expectation: {type: expect_table_row_count_to_be_between, min_value: 1}, on_fail: {branch: other}}
  other:
    function: shop_gates:other
alerts:
  - {type: slack, url: "${SLACK}"}
data_docs: false
"""

SUITE = (
    ValidationRule("present", "id IS NOT NULL"),
    ValidationRule("unique", expectation={"type": "expect_column_values_to_be_unique", "column": "id"}),
)


def same(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders


def mend(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "checks").mkdir()
    save_suite("orders", SUITE, tmp_path / "checks" / "orders.json")
    (tmp_path / "shop_gates.py").write_text(MODULE)
    (tmp_path / "shop.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_gates", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def workflow() -> Workflow:
    workflow = Workflow("shop")
    workflow.add_source("orders", "orders.csv")
    return workflow


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


def test_yaml_and_api_declare_the_same_gates(folder: Path):
    read = Workflow.from_yaml("shop.yaml")

    import shop_gates  # type: ignore[import-not-found]

    said = Workflow("shop", alerts=[{"type": "slack", "url": "${SLACK}"}], data_docs=False)
    said.add_source("orders", {"path": "orders.csv", "pii": ["email"], "quarantine_limit": {"share": 0.01}})
    said.add_quality_gate("orders", [Path("checks/orders.json"), ValidationRule("known", "id > 0", on_fail="drop")])
    said.add_task(
        "clean",
        shop_gates.clean,
        when="orders.known.failed > 0",
        pii=["email", "phone"],
        gate=[
            ValidationRule("mended", "email MATCHES '@'", on_fail=Repair("email", shop_gates.mend)),
            {
                "name": "many",
                "expectation": {"type": "expect_table_row_count_to_be_between", "min_value": 1},
                "on_fail": Branch("other"),
            },
        ],
        quarantine_limit={"rows": 5, "share": "50 %"},
    )
    said.add_task("other", shop_gates.other)

    assert said.stages == read.stages
    assert (SlackAlert(type="slack", url=Secret("${SLACK}")),) == read.alerts == said.alerts
    assert (False, False) == (read.data_docs, said.data_docs)
    assert ["present", "unique", "known"] == [rule.name for rule in read.stages["orders"].gate]
    assert QuarantineLimit(5, 0.5) == read.stages["clean"].quarantine_limit
    assert ("clean",) == read.stages["other"].branch_of


def test_data_docs_are_made_and_nobody_is_told_unless_said():
    assert ((), True) == (Workflow("shop").alerts, Workflow("shop").data_docs)


@pytest.mark.parametrize(
    "entry",
    [
        Path("checks/orders.json"),
        {"suite": "checks/orders.json"},
        {"suite": Path("checks/orders.json")},
        SuiteConfig(suite="checks/orders.json"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_suite_adds_its_rules(workflow: Workflow, entry: Rule):
    workflow.add_quality_gate("orders", [entry, RuleConfig(name="more", predicate="id > 0")])
    assert (*SUITE, ValidationRule("more", "id > 0")) == workflow.stages["orders"].gate


def test_paths_of_suites_count_from_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/")
    assert 3 == len(Workflow.from_yaml(folder / "shop.yaml").stages["orders"].gate)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "checks/orders.json",
            "checks/order.json",
            "shop.yaml:8: sources.orders.gate.0.suite: {folder}/checks/order.json: there is no such suite; write one",
        ),
        (
            "name: known",
            "name: present",
            "shop.yaml:9: sources.orders.gate.1: two rules are called 'present'; rename one",
        ),
        (
            "shop_gates:mend",
            "shop_gates:mand",
            "shop.yaml:19: stages.clean.gate.0.on_fail.repair.function: shop_gates:mand: no 'mand' there; did you mean 'mend'?",
        ),
        (
            "shop_gates:mend",
            "shop_gates:later",
            "shop.yaml:19: stages.clean.gate.0.on_fail.repair.function: later must be a plain function that returns an expression",
        ),
        (
            "on_fail: {branch: other}",
            "on_fail: quarantine",
            "shop.yaml:20: stages.clean.gate.1: rule 'many': expect_table_row_count_to_be_between(min_value=1) is about the batch",
        ),
        (
            "scope: row",
            "scope: table",
            "shop.yaml:9: sources.orders.gate.1: rule 'known': id > 0 cannot be about the table",
        ),
        (
            "orders.known.failed",
            "orders.known.fialed",
            "shop.yaml:13: stages.clean.when: condition 'orders.known.fialed > 0': unknown metric 'fialed'",
        ),
        ("rows: 5", "rows: many", "shop.yaml:15: stages.clean.quarantine_limit.rows: a whole number is expected"),
        ("type: slack", "type: slak", "shop.yaml:24: alerts.0.type: unknown value; did you mean 'slack'?"),
    ],
)
def test_each_mistake_is_placed(folder: Path, old: str, new: str, message: str):
    assert YAML.count(old) == 1
    Path("shop.yaml").write_text(YAML.replace(old, new))
    assert refusal(lambda: Workflow.from_yaml("shop.yaml")).startswith(message.format(folder=folder))


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda w: w.add_quality_gate("orders", Path("a.json")), "source 'orders': gate: a list of rules is expected"),
        (
            lambda w: w.add_quality_gate("orders", [Path("none.json")]),
            "source 'orders': gate.0.suite: none.json: there is no such suite",
        ),
        (
            lambda w: w.add_quality_gate("orders", [{"suite": 3}]),
            "source 'orders': gate.0.suite: a text is expected (found 3)",
        ),
        (
            lambda w: w.add_quality_gate("orders", [{"name": "a", "predicate": "x > 1", "on_fail": "mend"}]),
            "source 'orders': gate.0.on_fail: unknown value; accepted: drop, fail, quarantine, warn (found 'mend')",
        ),
        (
            lambda w: w.add_quality_gate("orders", [], limit={"row": 1}),
            "source 'orders': quarantine_limit.row: unknown key; did you mean 'rows'?",
        ),
        (
            lambda w: w.add_task("t", same, quarantine_limit={}),
            "task 't': quarantine_limit: needs rows, share or both",
        ),
        (
            lambda w: w.add_task("t", same, pii="email"),
            "task 't': pii: a list is expected, as in [a, b] (found 'email')",
        ),
        (lambda w: w.add_task("t", same, when=3), "task 't': when: a text is expected (found 3)"),
        (lambda w: w.add_task("t", same, when=""), "task 't': when: may not be empty"),
        (lambda w: w.add_task("t", same, when="x > 1"), "task 't': when: condition 'x > 1': 'x' is no metric; write"),
        (lambda _: Workflow("w", alerts=[{"type": "slack"}]), "workflow 'w': alerts.0.url: is missing; it is required"),
    ],
)
def test_declarations_that_do_not_fit(workflow: Workflow, declare: Callable[[Workflow], None], message: str):
    before = workflow.stages
    assert refusal(lambda: declare(workflow)).startswith(message)
    assert before == workflow.stages


# ---------------------------------------------------------------- limits

ASIDE = [{"name": "a", "predicate": "x > 1"}]


def test_the_last_limit_counts(workflow: Workflow):
    workflow.add_quality_gate("orders", ASIDE, limit=QuarantineLimit(rows=3))
    workflow.add_quality_gate("orders", [])
    assert QuarantineLimit(rows=3) == workflow.stages["orders"].quarantine_limit
    workflow.add_quality_gate("orders", [], limit={"share": "1 %"})
    assert QuarantineLimit(share=0.01) == workflow.stages["orders"].quarantine_limit


@pytest.mark.parametrize("route", ["quarantine", "drop", Repair("x", mend)])
def test_a_limit_goes_with_rules_that_set_rows_aside(workflow: Workflow, route: object):
    workflow.add_quality_gate("orders", [{**ASIDE[0], "on_fail": route}], limit={"rows": 1})
    assert workflow.stages["orders"].quarantine_limit is not None


@pytest.mark.parametrize("route", ["warn", "fail", Branch("t")])
def test_a_limit_without_such_a_rule_is_refused(workflow: Workflow, route: object):
    workflow.add_source("customers", "customers.csv")
    workflow.add_task("t", lambda customers: customers)
    workflow.add_task("u", lambda customers: customers)
    workflow.add_quality_gate("u", [{**ASIDE[0], "on_fail": route}], limit={"rows": 1})
    assert refusal(lambda: workflow.stages).startswith(
        "task 'u': quarantine_limit: limits what rules set aside, and no rule of this stage does"
    )


def test_a_limit_of_a_source_counts_what_cannot_be_read(workflow: Workflow):
    workflow.add_quality_gate("orders", [], limit={"rows": 1})
    assert QuarantineLimit(rows=1) == workflow.stages["orders"].quarantine_limit


# ---------------------------------------------------------------- what changes rows


def fingerprint(**options: object) -> str:
    workflow = Workflow("shop", **{key: options.pop(key) for key in ("alerts",) if key in options})  # type: ignore[arg-type]
    workflow.add_source("orders", "orders.csv")
    workflow.add_source("more", "more.csv")
    workflow.add_task("other", lambda more: more)
    workflow.add_task("t", same, **options)  # type: ignore[arg-type]
    return stage_fingerprint(workflow.stages["t"])


def gate(**options: object) -> list[ValidationRule]:
    return [ValidationRule("a", "x MATCHES 'a'", **options)]  # type: ignore[arg-type]


KEY = {"type": "expect_column_values_to_be_unique", "column": "x"}


def test_what_changes_rows_changes_the_fingerprint():
    found = [
        fingerprint(),
        fingerprint(gate=gate()),
        fingerprint(gate=gate(on_fail="drop")),
        fingerprint(gate=gate(on_fail="warn")),
        fingerprint(gate=gate(on_fail=Branch("other"))),
        fingerprint(gate=gate(on_fail=Repair("x", mend))),
        fingerprint(gate=gate(on_fail=Repair("y", mend))),
        fingerprint(gate=gate(on_fail=Repair("x", lambda text: text.str.to_lowercase()))),
        fingerprint(gate=[ValidationRule("a", expectation=KEY)]),
        fingerprint(gate=[ValidationRule("a", expectation=KEY, scope="table")]),
        fingerprint(pii=["x"]),
    ]
    assert len(found) == len(set(found))


def test_what_does_not_change_rows_does_not():
    assert 1 == len(
        {
            fingerprint(gate=gate()),
            fingerprint(gate=gate(), quarantine_limit={"rows": 1}),
            fingerprint(gate=gate(), when="orders.read > 0"),
            fingerprint(gate=gate(), alerts=[{"type": "slack", "url": "${SLACK}"}]),
            fingerprint(gate=gate(on_fail="quarantine")),
        }
    )


def test_a_repair_is_told_by_its_code():
    def twin() -> Callable[[pl.Expr], pl.Expr]:
        return lambda text: text.str.strip_chars()

    assert fingerprint(gate=gate(on_fail=Repair("x", twin()))) == fingerprint(gate=gate(on_fail=Repair("x", twin())))
