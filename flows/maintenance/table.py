"""Looks after tables that something outside has damaged: check, restore, rebuild.

uv run python flows/maintenance/table.py --help
"""

# Only the standard library: where nothing is installed, this file still says what to do.
from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = "flows/maintenance/table.py"

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from flows.etl import start

    start(SCRIPT, "flows.maintenance.table_command")
