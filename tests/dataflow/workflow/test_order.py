"""What stages wait for beside their inputs, and what cannot be waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataflow.errors import ConfigError, PlanError
from dataflow.quality.routes import Branch
from dataflow.quality.rules import ValidationRule
from dataflow.quality.suites import save_suite
from dataflow.workflow import Workflow


def refers(table: str) -> list[ValidationRule]:
    return [ValidationRule("known", f"x IN (SELECT x FROM {table})")]


def branches(stage: str) -> list[ValidationRule]:
    return [ValidationRule("usual", "x > 1", on_fail=Branch(stage))]


def never(_: Any) -> bool:
    return False


@pytest.fixture
def workflow() -> Workflow:
    """a → b → c, and d → e."""
    workflow = Workflow("letters")
    workflow.add_source("a", "a.csv")
    workflow.add_source("d", "d.csv")
    workflow.add_task("b", lambda a: a)
    workflow.add_task("c", lambda b: b)
    workflow.add_task("e", lambda d: d)
    return workflow


def refusal(workflow: Workflow, kind: type[Exception] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        _ = workflow.stages
    return str(caught.value)


def after(workflow: Workflow) -> dict[str, tuple[str, ...]]:
    return {name: stage.after for name, stage in workflow.stages.items()}


def test_a_stage_waits_for_its_inputs(workflow: Workflow):
    assert {"a": (), "d": (), "b": ("a",), "c": ("b",), "e": ("d",)} == after(workflow)


def test_a_stage_waits_for_tables_that_its_rules_refer_to(workflow: Workflow):
    workflow.add_quality_gate("b", refers("e"))
    workflow.add_quality_gate("d", refers("a"))
    assert {"a": (), "d": ("a",), "e": ("d",), "b": ("a", "e"), "c": ("b",)} == after(workflow)
    assert ["a", "d", "e", "b", "c"] == list(workflow.stages)


def test_a_stage_waits_for_what_its_condition_reads(workflow: Workflow):
    workflow.add_task("f", lambda a: a, when="e.read > 0 AND a.read > 0")
    workflow.add_task("z", lambda a: a, when="f.read > 0")
    assert (("a", "e"), ("a", "f")) == (after(workflow)["f"], after(workflow)["z"])


def test_a_function_waits_for_all_that_is_upstream(workflow: Workflow):
    workflow.add_task("f", lambda c, e: c, when=never)
    assert ("c", "e", "b", "d", "a") == after(workflow)["f"]
    assert "never" == workflow.stages["f"].when.text  # type: ignore[union-attr]


def test_a_target_waits_for_those_that_may_branch_to_it(workflow: Workflow):
    workflow.add_quality_gate("b", branches("e"))
    workflow.add_quality_gate("c", branches("e"))
    stages = workflow.stages
    assert (("b", "c"), ("d", "b", "c")) == (stages["e"].branch_of, stages["e"].after)
    assert ((), ()) == (stages["b"].branch_of, stages["c"].branch_of)


def test_what_is_waited_for_twice_is_told_once(workflow: Workflow):
    workflow.add_task("f", lambda a: a, gate=refers("a"), when="a.read > 0 AND e.read > 0")
    workflow.add_quality_gate("e", branches("f"))
    assert ("a", "e") == after(workflow)["f"]
    assert ("e",) == workflow.stages["f"].branch_of


def test_selections_stay_with_inputs(workflow: Workflow):
    workflow.add_quality_gate("b", refers("e"))
    workflow.add_task("f", lambda d: d, when="c.read > 0")
    assert {"a", "b"} == workflow.select("+b")
    assert {"d", "f"} == workflow.select("+f")
    assert {"c"} == workflow.select("c+")


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (
            lambda w: w.add_quality_gate("b", branches("f")),
            "task 'b': gate.usual: branches to an unknown stage 'f'; accepted: c, e",
        ),
        (
            lambda w: w.add_quality_gate("b", branches("d")),
            "task 'b': gate.usual: branches to 'd', a source, which is landed in any case; name a task",
        ),
        (
            lambda w: w.add_quality_gate("b", branches("b")),
            "task 'b': gate.usual: branches to its own stage, which cannot run instead of itself",
        ),
        (
            lambda w: w.add_quality_gate("c", branches("b")),
            "task 'c': gate.usual: branches to 'b', which has run by then: c comes after it",
        ),
        (
            lambda w: w.add_quality_gate("a", branches("c")),
            "source 'a': gate.usual: branches to 'c', which needs a, and of that nothing is published then",
        ),
        (
            lambda w: w.add_quality_gate("b", refers("aa")),
            "task 'b': gate.known: refers to an unknown table 'aa'; did you mean 'a'? accepted: a, b, c, d, e",
        ),
        (
            lambda w: w.add_quality_gate("b", refers("b")),
            "task 'b': gate.known: refers to its own table, which the batch is about to change; check this in",
        ),
        (
            lambda w: w.add_task("f", lambda a: a, when="bb.read > 0"),
            "task 'f': when: condition 'bb.read > 0': unknown stage 'bb'; did you mean 'b'? accepted: a, b, c, d, e, f",
        ),
        (
            lambda w: w.add_task("f", lambda a: a, when="b.x.failed > 0"),
            "task 'f': when: condition 'b.x.failed > 0': 'b' has no rule 'x'; accepted: none",
        ),
        (
            lambda w: w.add_task("f", lambda a: a, when="f.read > 0"),
            "task 'f': when: condition 'f.read > 0' reads 'f', which has not run when it is asked; name a stage",
        ),
    ],
)
def test_what_cannot_be_waited_for(workflow: Workflow, declare: Callable[[Workflow], None], message: str):
    declare(workflow)
    assert refusal(workflow).startswith(message)


def test_a_condition_on_a_later_stage(workflow: Workflow):
    workflow.add_task("f", lambda a: a, when="a.read > 0 AND h.read > 0")
    workflow.add_task("g", lambda f: f)
    workflow.add_task("h", lambda g: g)
    assert refusal(workflow).startswith(
        "task 'f': when: condition 'a.read > 0 AND h.read > 0' reads 'h', which has not"
    )


def test_all_mistakes_are_told_at_once(workflow: Workflow):
    workflow.add_quality_gate("b", [*branches("f"), *refers("aa")])
    workflow.add_task("g", lambda a: a, when="f.read > 0")
    assert 3 == len(refusal(workflow).splitlines())


# ---------------------------------------------------------------- circles


def test_a_circle_through_a_rule_says_why(workflow: Workflow):
    workflow.add_quality_gate("a", refers("c"))
    said = refusal(workflow, PlanError)
    assert said.startswith("source 'a': gate.known: stages need each other in a circle: ")
    assert said.endswith(" (a waits for c: its rule 'known' refers to it); undo one of these")
    assert any(walk in said for walk in ("a → b → c → a", "b → c → a → b", "c → a → b → c"))


def test_a_circle_through_conditions_and_branches_says_why(workflow: Workflow):
    workflow.add_task("f", lambda a: a, when="g.read > 0")
    workflow.add_task("g", lambda a: a, gate=refers("h"))
    workflow.add_task("h", lambda a: a)
    workflow.add_quality_gate("f", branches("h"))
    said = refusal(workflow, PlanError)
    for why in (
        "f waits for g: its `when` reads it",
        "g waits for h: its rule 'known' refers to it",
        "h waits for f: its rule 'usual' may branch to h",
    ):
        assert why in said


def test_a_circle_is_placed_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shop_order.py").write_text("def one(orders): return orders\n")
    (tmp_path / "shop.yaml").write_text(
        "pipeline: shop\n"
        "sources: {orders: {path: a.csv}}\n"
        "stages:\n"
        "  f:\n"
        "    function: shop_order:one\n"
        "    when: g.read > 0\n"
        "  g:\n"
        "    function: shop_order:one\n"
        "    gate: [{name: known, predicate: x IN (SELECT x FROM f)}]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlanError) as caught:
        Workflow.from_yaml("shop.yaml")
    said = str(caught.value)
    assert said.startswith(
        ("shop.yaml:6: stages.f.when: stages need each", "shop.yaml:9: stages.g.gate.known: stages need each")
    )


def test_mistakes_of_rules_are_placed_at_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_suite("s", refers("nothing"), tmp_path / "s.json")
    (tmp_path / "shop_rules.py").write_text("def one(orders): return orders\n")
    (tmp_path / "shop.yaml").write_text(
        "pipeline: shop\n"
        "sources: {orders: {path: a.csv}}\n"
        "stages:\n"
        "  f:\n"
        "    function: shop_rules:one\n"
        "    gate:\n"
        "      - {suite: s.json}\n"
        "      - {name: first, predicate: x > 1}\n"
        "      - {name: usual, predicate: x > 1, on_fail: {branch: orders}}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        Workflow.from_yaml("shop.yaml")
    suite, rule = str(caught.value).splitlines()
    assert suite.startswith("shop.yaml:6: stages.f.gate.known: refers to an unknown table 'nothing'")
    assert rule.startswith("shop.yaml:9: stages.f.gate.usual: branches to 'orders', a source")


def test_a_lambda_may_be_a_condition():
    workflow = Workflow("w")
    workflow.add_source("a", "a.csv")
    workflow.add_task("b", lambda a: a.select(pl.all()), when=lambda metrics: "a" in metrics)
    assert ("a",) == workflow.stages["b"].after
