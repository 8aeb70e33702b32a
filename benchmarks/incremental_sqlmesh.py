"""SQLMesh on DuckDB, run by benchmarks/incremental_peers.py in an environment of its own: its pins are not ours.

    python incremental_sqlmesh.py WORK DAY FILE...

lands the files in DuckDB as delivered on that day, and lets SQLMesh bring its models up to date: ``lines`` and ``priced``
are merged by key from what was delivered since, ``monthly`` is computed anew. Prints what that took as JSON.
"""
# pyright: basic
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import sys
import time
from datetime import date, timedelta
from pathlib import Path

CONFIG = """\
gateways:
  local:
    connection: {{type: duckdb, database: {database}}}
    state_connection: {{type: duckdb, database: {state}}}
default_gateway: local
model_defaults: {{dialect: duckdb, start: '2026-01-01'}}
"""
TYPES = {
    "l_orderkey": "BIGINT", "l_partkey": "BIGINT", "l_suppkey": "BIGINT", "l_linenumber": "BIGINT",
    "l_quantity": "BIGINT", "l_extendedprice": "DOUBLE", "l_discount": "DOUBLE", "l_tax": "DOUBLE",
    "l_returnflag": "VARCHAR", "l_linestatus": "VARCHAR", "l_shipdate": "DATE", "l_commitdate": "DATE",
    "l_receiptdate": "DATE", "l_shipinstruct": "VARCHAR", "l_shipmode": "VARCHAR", "l_comment": "VARCHAR",
}  # fmt: skip
MODELS = {
    "lines": f"""\
MODEL (name tpch.lines, cron '@daily', kind INCREMENTAL_BY_UNIQUE_KEY (unique_key (l_orderkey, l_linenumber)));
SELECT {", ".join(TYPES)}, strftime(l_shipdate, '%Y-%m') AS ship_month, delivered_on
FROM raw.deliveries WHERE delivered_on BETWEEN @start_date AND @end_date
""",
    "priced": """\
MODEL (name tpch.priced, cron '@daily', kind INCREMENTAL_BY_UNIQUE_KEY (unique_key (l_orderkey, l_linenumber)));
SELECT l_orderkey, l_linenumber, ship_month, o_orderpriority, l_quantity, l_returnflag, l_linestatus,
  CAST(round(l_extendedprice * (1 - l_discount) * 100) AS BIGINT) AS revenue_cents,
  CAST(round(l_extendedprice * (1 - l_discount) * (1 + l_tax) * 100) AS BIGINT) AS charge_cents,
  date_diff('day', l_commitdate, l_receiptdate) AS days_late, delivered_on
FROM tpch.lines LEFT JOIN raw.orders ON l_orderkey = o_orderkey
WHERE delivered_on BETWEEN @start_date AND @end_date
""",
    "monthly": """\
MODEL (name tpch.monthly, cron '@daily', kind FULL);
SELECT ship_month, o_orderpriority, count(*) AS lines, sum(l_quantity) AS pieces, sum(revenue_cents) AS revenue_cents,
  sum(charge_cents) AS charge_cents, count(*) FILTER (days_late > 0) AS late
FROM tpch.priced GROUP BY ALL
""",
}


def land(work: Path, day: date, files: list[str]) -> None:
    """What SQLMesh leaves to others: files into tables."""
    import duckdb

    with duckdb.connect(str(work / "bench.duckdb")) as connection:
        rows = f"SELECT *, DATE '{day}' AS delivered_on FROM read_csv({files!r}, columns = {TYPES!r})"
        orders = f"read_csv('{work / 'in' / 'orders.csv'}')"
        connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
        connection.execute(f"CREATE TABLE IF NOT EXISTS raw.orders AS FROM {orders}")
        connection.execute(f"CREATE TABLE IF NOT EXISTS raw.deliveries AS FROM ({rows}) LIMIT 0")
        connection.execute(f"INSERT INTO raw.deliveries {rows}")


def declare(work: Path) -> None:
    """The project."""
    project = work / "project"
    (project / "models").mkdir(parents=True, exist_ok=True)
    config = CONFIG.format(database=work / "bench.duckdb", state=work / "state.duckdb")
    (project / "config.yaml").write_text(config)
    for name, text in MODELS.items():
        (project / "models" / f"{name}.sql").write_text(text)


def bring_up_to_date(work: Path, day: date) -> None:
    """One run of SQLMesh on the evening of ``day``."""
    from sqlmesh import Context

    first = not (work / "state.duckdb").exists()
    context = Context(paths=[str(work / "project")])
    evening = str(day + timedelta(days=1))
    if first:
        context.plan(execution_time=evening, auto_apply=True, no_prompts=True, skip_tests=True)
    else:
        context.run(execution_time=evening)
    context.close()


def main(work: Path, day: date, files: list[str]) -> None:
    """Take one delivery."""
    os.environ["SQLMESH__DISABLE_ANONYMIZED_ANALYTICS"] = "true"
    import sqlmesh  # noqa: F401  # its import, which takes seconds, does not count

    declare(work)
    before, began = os.times(), time.perf_counter()
    land(work, day, files)
    bring_up_to_date(work, day)
    wall, after = time.perf_counter() - began, os.times()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    cpu = after.user + after.system - before.user - before.system
    print(json.dumps({"wall": wall, "cpu": cpu, "peak_mb": int(status["VmHWM"].split()[0]) / 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]), sys.argv[3:])
