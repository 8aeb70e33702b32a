import functools
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow
from dataflow.config import RetryConfig, RunConfig, SlicesConfig, SourceConfig, StorageConfig, WindowConfig
from dataflow.errors import ConfigError, PlanError
from dataflow.workflow import Stage, Workflow
from dataflow.workflow.graph import select, topological

MODULE = """\
def clean(orders):
    return orders

def totals(clean, customers):
    return clean.join(customers, on="id")

async def later(orders):
    return orders

NUMBER = 3
"""

YAML = """\
pipeline: shop
lake: lake
sources:
  orders: {path: orders/*.csv, retry: {attempts: 2}, gate: [{name: some, predicate: id IS NOT NULL}]}
  customers: {type: file, path: customers.csv, storage: {partition_by: [country]}}
stages:
  totals:
    function: shop_functions:totals
    partition_by: [month]
    rows: grouped
    members: orders
    window: {window_size: 1 day, late_arrival_tolerance: 6 hours}
    storage: {compression: snappy}
    cache: {expires_after: 1 day}
  clean:
    function: shop_functions:clean
    depends_on: [orders]
    deduplicate: {key: [id]}
    gate:
      - {name: known, predicate: id IS NOT NULL, severity: warning}
run: {threads: 3}
"""


def one(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders


def two(orders: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    return orders.join(customers, on="id")


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_functions.py").write_text(MODULE)
    (tmp_path / "shop_broken.py").write_text("1 / 0")
    (tmp_path / "shop_needy.py").write_text("import no_such_package")
    (tmp_path / "shop_parts").mkdir()
    (tmp_path / "shop_parts" / "cleaning.py").write_text(MODULE)
    (tmp_path / "shop_parts" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("shop_")]:
        del sys.modules[name]


@pytest.fixture
def workflow() -> Workflow:
    workflow = Workflow("shop")
    workflow.add_source("orders", "orders/*.csv")
    workflow.add_source("customers", {"type": "file", "path": "customers.csv"})
    return workflow


def refusal(call: Callable[[], object], kind: type[Exception] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


# ---------------------------------------------------------------- two spellings


@pytest.mark.usefixtures("functions")
def test_yaml_and_api_build_the_same_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(YAML)
    read = Workflow.from_yaml("shop.yaml")

    import shop_functions  # type: ignore[import-not-found]

    said = Workflow("shop", "lake", run=RunConfig(threads=3))
    said.add_task("totals", shop_functions.totals, partition_by=["month"], rows="grouped", members="orders")
    said.add_task("clean", shop_functions.clean, depends_on=["orders"])
    said.add_source("orders", Path("orders/*.csv"))
    said.add_source("customers", SourceConfig(type="file", options={"path": "customers.csv"}))
    said.configure_time_window("totals", {"window_size": "1 day", "late_arrival_tolerance": "6 hours"})
    said.configure_storage("totals", StorageConfig(compression="snappy"))
    said.configure_cache("totals", {"expires_after": "1 day"})
    said.configure_retry("orders", RetryConfig(attempts=2))
    said.configure_storage("customers", {"partition_by": ["country"]})
    said.configure_deduplication("clean", {"key": ["id"]})
    said.add_quality_gate("orders", [dataflow.ValidationRule("some", "id IS NOT NULL")])
    said.add_quality_gate("clean", [{"name": "known", "predicate": "id IS NOT NULL", "severity": "warning"}])

    assert read.stages == said.stages
    assert (read.name, read.lake, read.run) == (said.name, said.lake, said.run)
    assert ["orders", "customers", "clean", "totals"] == list(read.stages)
    assert ("clean", "customers") == read.stages["totals"].inputs
    assert ("month",) == read.stages["totals"].storage.partition_by


def test_the_example_of_the_readme_is_declared():
    workflow = Workflow("etl_pipeline")
    workflow.add_task("clean_customer_data", lambda customer_data: customer_data)
    workflow.add_task("transform_transactions", lambda transaction_data: transaction_data)
    workflow.add_task("join_data", lambda a, b: a, depends_on=["clean_customer_data", "transform_transactions"])
    workflow.add_source("customer_data", SourceConfig(options={"path": "c.csv"}))
    workflow.add_source("transaction_data", SourceConfig(options={"path": "t.csv"}))
    workflow.configure_incremental(
        "transform_transactions", {"key_columns": ["transaction_id"], "timestamp_column": "updated_at"}
    )
    stages = workflow.stages
    assert ("customer_data",) == stages["clean_customer_data"].inputs
    assert ("clean_customer_data", "transform_transactions") == stages["join_data"].inputs
    assert "updated_at" == stages["transform_transactions"].incremental.timestamp_column  # type: ignore[union-attr]


@pytest.mark.usefixtures("functions")
def test_a_lake_of_the_caller_stands_in_for_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shop.yaml").write_text(YAML)
    monkeypatch.chdir("/")
    assert str(tmp_path / "lake") == Workflow.from_yaml(tmp_path / "shop.yaml").lake
    assert "/other" == Workflow.from_yaml(tmp_path / "shop.yaml", lake="other").lake
    assert "s3://b/l" == Workflow.from_yaml(tmp_path / "shop.yaml", lake="s3://b/l").lake
    assert 1 == Workflow.from_yaml(tmp_path / "shop.yaml", overrides=["run.threads=1"]).run.threads


def test_paths_of_sources_count_from_where_they_were_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    workflow = Workflow("shop")
    workflow.add_source("orders", "orders.csv")
    monkeypatch.chdir("/")
    source = workflow.stages["orders"].source
    assert source is not None
    assert {"path": str(tmp_path / "orders.csv")} == source.options


# ---------------------------------------------------------------- mistakes in YAML


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "depends_on: [orders]",
            "depends_on: [ordres]",
            "shop.yaml:17: stages.clean.depends_on: unknown stage 'ordres'; did you mean 'orders'?",
        ),
        (
            "depends_on: [orders]",
            "depends_on: [orders, totals]",
            "shop.yaml:17: stages.clean.depends_on: clean takes orders, but depends_on names 2: orders, totals",
        ),
        ("depends_on: [orders]", "depends_on: []", ""),
        (
            "shop_functions:clean",
            "shop_functions:claen",
            "shop.yaml:16: stages.clean.function: shop_functions:claen: no 'claen' there; did you mean 'clean'? accepted: clean, later, totals",
        ),
        (
            "shop_functions:clean",
            "shop_function:clean",
            "shop.yaml:16: stages.clean.function: no module 'shop_function'; install",
        ),
        (
            "shop_functions:clean",
            "shop_parts.cleanin:clean",
            "shop.yaml:16: stages.clean.function: no module 'shop_parts.cleanin'; did you mean 'cleaning'?",
        ),
        (
            "shop_functions:clean",
            "shop_broken:clean",
            "shop.yaml:16: stages.clean.function: module shop_broken cannot be imported: ZeroDivisionError: division by zero",
        ),
        (
            "shop_functions:clean",
            "shop_needy:clean",
            "shop.yaml:16: stages.clean.function: module shop_needy cannot be imported: No module named 'no_such_package'; install what it needs",
        ),
        (
            "shop_functions:clean",
            "shop_functions.clean",
            "shop.yaml:16: stages.clean.function: 'shop_functions.clean' is no import string; write it as package.module:function",
        ),
        (
            "shop_functions:clean",
            "shop_functions:NUMBER",
            "shop.yaml:16: stages.clean.function: shop_functions:NUMBER is of type int, not a function",
        ),
        (
            "shop_functions:clean",
            "shop_functions:later",
            "shop.yaml:16: stages.clean.function: later must be a plain function that returns a LazyFrame",
        ),
        (
            "deduplicate: {key: [id]}",
            "partition_by: [month]\n    deduplicate: {key: [id]}",
            "shop.yaml:19: stages.clean.deduplicate.key: must contain the columns of partition_by; add month",
        ),
        (
            "predicate: id IS NOT NULL, severity",
            "predicate: id IS NOT, severity",
            "shop.yaml:20: stages.clean.gate.0: rule 'known'",
        ),
        (
            "rows: grouped",
            "rows: any",
            "shop.yaml:11: stages.totals.members: counts the rows of groups, but rows is any",
        ),
        (
            "compression: snappy",
            "partition_by: [day]",
            "shop.yaml:13: stages.totals.storage.partition_by: must begin with the stage's own partition_by, month; it is day",
        ),
        ("  clean:", "  orders:", "shop.yaml:15: stages.orders: there is a source of this name already; rename one"),
        (
            "  clean:",
            "  clean__late:",
            "shop.yaml:15: stages.clean__late: a name is made of small letters, digits and single underscores",
        ),
    ],
)
def test_each_mistake_is_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(YAML.replace(old, new))
    if not message:
        assert ("orders",) == Workflow.from_yaml("shop.yaml").stages["clean"].inputs
    else:
        assert refusal(lambda: Workflow.from_yaml("shop.yaml")).startswith(message)


@pytest.mark.usefixtures("functions")
def test_a_cycle_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(YAML.replace("depends_on: [orders]", "depends_on: [totals]"))
    message = refusal(lambda: Workflow.from_yaml("shop.yaml"), PlanError)
    assert "stages need each other in a circle: " in message
    assert "clean → totals → clean" in message or "totals → clean → totals" in message
    assert message.startswith("shop.yaml:")


@pytest.mark.usefixtures("functions")
def test_all_mistakes_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(YAML.replace("rows: grouped", "rows: any").replace("[orders]", "[ordres]"))
    lines = refusal(lambda: Workflow.from_yaml("shop.yaml")).splitlines()
    assert ["shop.yaml:11", "shop.yaml:17"] == [":".join(line.split(":")[:2]) for line in lines]


# ---------------------------------------------------------------- inputs


def inputs_of(workflow: Workflow, function: Callable[..., object], *depends_on: str) -> tuple[str, ...]:
    workflow.add_task("task", function, depends_on=depends_on)
    return workflow.stages["task"].inputs


def test_inputs_are_named_by_parameters(workflow: Workflow):
    assert ("customers", "orders") == inputs_of(workflow, lambda customers, orders: orders)


@pytest.mark.parametrize(
    "function",
    [
        lambda orders, /: orders,
        lambda orders, scale=2: orders,
        lambda orders, *rest: orders,
        lambda orders, **options: orders,
        lambda orders, *, scale=2: orders,
        functools.partial(lambda orders, scale: orders, scale=3),
        one,
    ],
)
def test_other_parameters_do_not_disturb(workflow: Workflow, function: Callable[..., object]):
    assert ("orders",) == inputs_of(workflow, function)


def test_inputs_of_depends_on_come_in_its_order(workflow: Workflow):
    assert ("customers", "orders") == inputs_of(workflow, two, "customers", "orders")


@pytest.mark.parametrize("function", [lambda *frames: frames[0], lambda a, b=None, c=None: a, operator.itemgetter(0)])
def test_depends_on_fits_functions_that_take_more(workflow: Workflow, function: Callable[..., object]):
    assert ("orders", "customers") == inputs_of(workflow, function, "orders", "customers")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda frame: frame,
            "parameter 'frame' of <lambda> is named after no source or task; accepted: customers, orders, task",
        ),
        (lambda order: order, "parameter 'order' of <lambda> is named after no source or task; did you mean 'orders'?"),
        (lambda: None, "has no parameter that is named after a source or task; name its inputs in depends_on"),
        (lambda *frames: frames[0], "has no parameter that is named after a source or task"),
        (
            lambda orders, scale=1, customers=None: orders,
            "<lambda>: put 'customers', a table, before 'scale', which is none",
        ),
        (lambda orders, *, customers: orders, "<lambda> needs 'customers' by keyword, but tables come by position"),
    ],
)
def test_parameters_that_name_no_input(workflow: Workflow, function: Callable[..., object], message: str):
    said = refusal(lambda: inputs_of(workflow, function))
    assert said.startswith("task 'task': function: ")
    assert message in said


@pytest.mark.parametrize(
    ("function", "depends_on", "message"),
    [
        (two, ("orders",), "two takes orders, customers, but depends_on names 1: orders"),
        (one, ("orders", "customers"), "one takes orders, but depends_on names 2: orders, customers"),
        (two, ("orders", "orders"), "names orders twice; once is enough"),
        (one, ("order",), "unknown stage 'order'; did you mean 'orders'? accepted: customers, orders, task"),
    ],
)
def test_depends_on_that_does_not_fit(
    workflow: Workflow, function: Callable[..., object], depends_on: tuple[str, ...], message: str
):
    assert f"task 'task': depends_on: {message}" == refusal(lambda: inputs_of(workflow, function, *depends_on))


def test_keywords_without_default_are_refused_with_depends_on_too(workflow: Workflow):
    said = refusal(lambda: inputs_of(workflow, lambda a, *, scale: a, "orders"))
    assert "task 'task': function: " in said
    assert "needs 'scale' by keyword" in said


def test_a_task_that_reads_itself_is_a_cycle(workflow: Workflow):
    workflow.add_task("own", lambda own: own)
    assert "own → own" in refusal(lambda: workflow.stages, PlanError)


# ---------------------------------------------------------------- declarations that do not fit


@pytest.mark.parametrize("name", ["", "Shop", "1shop", "my-shop", "é"])
def test_names_of_workflows(name: str):
    assert "a name is made of small letters" in refusal(lambda: Workflow(name))


@pytest.mark.parametrize("name", ["Orders", "orders__late", "_orders", "a b"])
def test_names_of_stages(workflow: Workflow, name: str):
    assert f"task '{name}': a name is made of small letters" in refusal(lambda: workflow.add_task(name, one))


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (
            lambda w: w.add_source("orders", "x.csv"),
            "source 'orders': there is a source of this name already; rename one",
        ),
        (lambda w: w.add_source("more", {"paht": "x"}), "source 'more': paht: unknown key; did you mean 'path'?"),
        (
            lambda w: w.add_source("more", {"type": "fiel"}),
            "source 'more': type: unknown source type 'fiel'; did you mean 'file'?",
        ),
        (lambda w: w.add_source("more", 3), "source 'more': keys with values are expected"),
        (lambda w: w.add_task("t", 3), "task 't': function: 3 is of type int, not a function"),
        (
            lambda w: w.add_task("t", one, rows="most"),
            "task 't': rows: unknown value; accepted: any, grouped, preserved (found 'most')",
        ),
        (
            lambda w: w.add_task("t", one, "orders"),
            "task 't': depends_on: a list is expected, as in [a, b] (found 'orders')",
        ),
        (
            lambda w: w.add_task("t", one, partition="x"),
            "task 't': partition: unknown key; did you mean 'partition_by'?",
        ),
        (
            lambda w: w.add_quality_gate("ordres", []),
            "unknown stage 'ordres'; did you mean 'orders'? accepted: customers, orders",
        ),
        (lambda w: w.configure_retry("ordres", {}), "unknown stage 'ordres'; did you mean 'orders'?"),
        (
            lambda w: w.configure_retry("orders", {"attempt": 1}),
            "source 'orders': retry.attempt: unknown key; did you mean 'attempts'?",
        ),
        (lambda w: w.configure_retry("orders", 3), "source 'orders': retry: keys with values are expected"),
        (
            lambda w: w.configure_time_window("orders", {}),
            "source 'orders': window: a source is landed as it is; configure a task that reads it",
        ),
        (lambda w: w.configure_incremental("orders", {}), "source 'orders': incremental: a source is landed as it is"),
        (
            lambda w: w.configure_deduplication("orders", {}),
            "source 'orders': deduplicate: a source is landed as it is",
        ),
        (
            lambda w: w.add_quality_gate("orders", {"name": "x"}),
            "source 'orders': gate: a list of rules is expected; put [ ] around the rule",
        ),
        (
            lambda w: w.add_quality_gate("orders", [{"nam": "x"}]),
            "source 'orders': gate.0.nam: unknown key; did you mean 'name'?",
        ),
        (
            lambda w: w.add_quality_gate("orders", [{"name": "x"}]),
            "source 'orders': gate.0: rule 'x' needs a predicate or an expectation, and not both",
        ),
        (
            lambda w: w.add_quality_gate("orders", [{"name": "x", "predicate": "a > 1"}] * 2),
            "source 'orders': gate.1: two rules are called 'x'; rename one",
        ),
    ],
)
def test_declarations_that_do_not_fit(workflow: Workflow, declare: Callable[[Workflow], None], message: str):
    before = workflow.stages
    assert refusal(lambda: declare(workflow)).startswith(message)
    assert before == workflow.stages


INCREMENTAL = {"key_columns": ["id"], "timestamp_column": "at"}


@pytest.mark.parametrize(
    ("incremental", "message"),
    [
        ("apend", "incremental: unknown value; did you mean 'append'?"),
        ({"by": []}, "incremental.by: may not be empty"),
        ({"by": ["m"], "key_columns": ["id"]}, "incremental.key_columns: unknown key"),
        ({"key_columns": ["id"]}, "incremental.timestamp_column: is missing; it is required"),
    ],
)
def test_increments_that_are_not_spelled_so(workflow: Workflow, incremental: object, message: str):
    refused = refusal(lambda: workflow.add_task("task", one, incremental=incremental))
    assert refused.startswith(f"task 'task': {message}")


@pytest.mark.parametrize("incremental", ["append", "partition", "window", "full", {"by": ["id"]}])
def test_increments_are_declared_by_a_word_or_by_columns(workflow: Workflow, incremental: Any):
    more = {"window": {"window_size": "1 day"}, "storage": {"partition_by": ["id"]}}
    workflow.add_task("task", one, incremental=incremental, **more)
    workflow.add_task("other", one, **more)
    workflow.configure_incremental("other", incremental)

    found = workflow.stages["task"].incremental
    assert found == workflow.stages["other"].incremental
    assert (incremental if isinstance(incremental, str) else SlicesConfig(by=("id",))) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "grouped"}, "members: is missing: with rows: grouped it names the column"),
        (
            {"members": "n"},
            "members: counts the rows of groups, but rows is any; say rows: grouped, or leave members out",
        ),
        (
            {"incremental": INCREMENTAL, "partition_by": ["m"]},
            "incremental: settles new rows with the whole table, which does not go together with partition_by",
        ),
        (
            {"incremental": INCREMENTAL, "window": {"window_size": "1 day"}},
            "incremental: settles new rows with the whole table, which does not go together with window",
        ),
        (
            {"incremental": INCREMENTAL, "deduplicate": {"key": ["id"]}},
            "incremental: settles new rows with the whole table, which does not go together with deduplicate",
        ),
        (
            {"incremental": "append", "deduplicate": {"key": ["id"]}},
            "incremental: append would let duplicates of rows in the table pass; leave deduplicate out",
        ),
        (
            {"incremental": "window"},
            "incremental: window recomputes touched windows, but the stage has none; declare `window: {window_size: ...}`",
        ),
        (
            {"incremental": "partition"},
            "incremental: partition recomputes touched partitions, but the table has none; give it storage.partition_by",
        ),
        (
            {"incremental": {"by": ["m"]}, "partition_by": ["m"]},
            "incremental: goes with a stage that runs whole, but this one runs by partition_by",
        ),
        (
            {"incremental": "append", "strategy": {"type": "polars_merge", "dedup_key": ["id"]}},
            "incremental: is for the strategy to say",
        ),
        (
            {"incremental": INCREMENTAL, "rows": "preserved"},
            "incremental: settles new rows with the whole table, which does not go together with rows: preserved",
        ),
        (
            {"partition_by": ["m"], "storage": {"partition_by": ["d", "m"]}},
            "storage.partition_by: must begin with the stage's own partition_by, m; it is d, m",
        ),
        (
            {"partition_by": ["m"], "deduplicate": {"key": ["id"]}},
            "deduplicate.key: must contain the columns of partition_by; add m",
        ),
        (
            {"pii": ["m"], "storage": {"partition_by": ["d", "m"]}},
            "pii: keeps 'm' to the tables, but partition_by makes folders of its values; take it out of one",
        ),
        (
            {"pii": ["born"], "strategy": {"type": "bronze_append", "partition_date": "born"}},
            "pii: keeps 'partition_date' to the tables, but partition_by makes folders of its values; take it out of one",
        ),
    ],
)
def test_options_that_do_not_go_together(workflow: Workflow, options: dict[str, object], message: str):
    workflow.add_task("task", one, **options)  # type: ignore[arg-type]
    assert refusal(lambda: workflow.stages).startswith(f"task 'task': {message}")


@pytest.mark.parametrize(
    "options",
    [
        {"rows": "grouped", "members": "n", "window": {"window_size": "1 day"}, "partition_by": ["m"]},
        {"incremental": INCREMENTAL, "storage": {"partition_by": ["m"]}},
        {"partition_by": ["m"], "storage": {"partition_by": ["m", "d"]}, "deduplicate": {"key": ["id", "m"]}},
    ],
)
def test_options_that_do(workflow: Workflow, options: dict[str, object]):
    workflow.add_task("task", one, **options)  # type: ignore[arg-type]
    assert "task" == workflow.stages["task"].name


def test_several_contradictions_are_told_at_once(workflow: Workflow):
    workflow.add_task("task", one, members="n", partition_by=["m"], deduplicate={"key": ["id"]})
    workflow.add_task("other", lambda frame: frame)
    assert 3 == len(refusal(lambda: workflow.stages).splitlines())


def test_a_workflow_without_stages():
    assert "workflow 'shop' has no stages; add a source" == refusal(lambda: Workflow("shop").stages)


def test_a_change_after_the_stages_were_read_counts(workflow: Workflow):
    assert ["orders", "customers"] == list(workflow.stages)
    workflow.add_task("task", one)
    workflow.configure_time_window("task", WindowConfig(window_size="2 hours"))  # type: ignore[arg-type]
    assert ["orders", "customers", "task"] == list(workflow.stages)
    assert workflow.stages["task"].window is not None


def test_rules_of_several_calls_add_up(workflow: Workflow):
    workflow.add_quality_gate("orders", [dataflow.ValidationRule("a", "id > 1")])
    workflow.add_quality_gate("orders", [dataflow.ValidationRule("b", "id > 2")])
    assert ["a", "b"] == [rule.name for rule in workflow.stages["orders"].gate]
    assert Stage("orders", "source") != workflow.stages["orders"]


# ---------------------------------------------------------------- the graph

DIAMOND = {"d": ("b", "c"), "b": ("a",), "c": ("a",), "a": (), "x": ()}


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ((), "abcdx"),
        ("b", "b"),
        ("b+", "bd"),
        ("+b", "ab"),
        ("+b+", "abd"),
        ("a+", "abcd"),
        ("b, x", "bx"),
        (["+c", "x"], "acx"),
        (["x+"], "x"),
    ],
)
def test_selections(expressions: str | list[str], expected: str):
    assert set(expected) == select(DIAMOND, expressions)


@pytest.mark.parametrize("expression", ["", "y", "a,,b", "++a"])
def test_selections_of_nothing_known(expression: str):
    assert "accepted: a, b, c, d, x" in refusal(lambda: select(DIAMOND, expression))


def test_a_workflow_selects(workflow: Workflow):
    workflow.add_task("task", one)
    assert {"orders", "task"} == workflow.select("orders+")
    assert "--select tasks: unknown stage 'tasks'; did you mean 'task'?" in refusal(lambda: workflow.select(["tasks"]))


@given(st.permutations(sorted(DIAMOND)))
def test_inputs_stand_before_their_readers(order: list[str]):
    sorted_names = topological({name: DIAMOND[name] for name in order})
    assert sorted(DIAMOND) == sorted(sorted_names)
    assert all(sorted_names.index(i) < sorted_names.index(name) for name in DIAMOND for i in DIAMOND[name])


def test_a_long_cycle_is_walked_in_the_order_of_the_data():
    with pytest.raises(PlanError, match=r"a → b → c → a|b → c → a → b|c → a → b → c"):
        topological({"a": ("c",), "b": ("a",), "c": ("b",), "x": ()})


# ---------------------------------------------------------------- the façade


def test_the_facade_is_sorted_and_complete():
    assert sorted(dataflow.__all__) == dataflow.__all__
    assert dir(dataflow) == dataflow.__all__
    assert Workflow is dataflow.Workflow
    assert ConfigError is dataflow.ConfigError
    with pytest.raises(AttributeError, match="has no attribute 'Workflo'"):
        _ = dataflow.Workflo  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", dataflow.__all__)
def test_each_name_of_the_facade_is_there(name: str):
    assert name == getattr(dataflow, name).__name__
