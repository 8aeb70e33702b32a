"""Parts for tests of pipelines: sample data whose defects are known, deliveries, and a gate without a lake."""

from __future__ import annotations

from dataflow.testing.delivery import write_delivery
from dataflow.testing.flaws import (
    Damage,
    Flaw,
    duplicates,
    late,
    malformed,
    nulls,
    orphans,
    out_of_range,
    repeats,
    swapped,
    unreadable,
)
from dataflow.testing.gates import GateRun, run_gate
from dataflow.testing.orders import ORDER_DEFECTS, customers, orders
from dataflow.testing.samples import Defect, Sample, with_defects

__all__ = [
    "ORDER_DEFECTS",
    "Damage",
    "Defect",
    "Flaw",
    "GateRun",
    "Sample",
    "customers",
    "duplicates",
    "late",
    "malformed",
    "nulls",
    "orders",
    "orphans",
    "out_of_range",
    "repeats",
    "run_gate",
    "swapped",
    "unreadable",
    "with_defects",
    "write_delivery",
]
