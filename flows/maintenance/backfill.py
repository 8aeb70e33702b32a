"""Computes a range of a stage again, then what is downstream: bounded, resumable.

uv run python flows/maintenance/backfill.py --help
"""

# Only the standard library: where nothing is installed, this file still says what to do.
from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = "flows/maintenance/backfill.py"

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from flows.etl import start

    start(SCRIPT, "flows.maintenance.backfill_command")
