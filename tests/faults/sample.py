"""Which faults every run of the tests looks at: a tenth of them, chosen by a seed; ``-m faults`` runs the rest."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

SEED = os.environ.get("DATAFLOW_FAULT_SEED", "2013")


def parameters(name: str, values: Sequence[Any]) -> list[Any]:
    """``values`` as parameters: all but a tenth, one at least, are marked as faults."""
    chosen = random.Random(f"{SEED} {name}").sample(range(len(values)), max(1, len(values) // 10))
    return [
        pytest.param(*(v if isinstance(v, tuple) else (v,)), marks=() if n in chosen else pytest.mark.faults)
        for n, v in enumerate(values)
    ]
