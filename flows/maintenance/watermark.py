"""Shows how far sources are read, and moves them back: show, set, reset.

uv run python flows/maintenance/watermark.py --help
"""

# Only the standard library: where nothing is installed, this file still says what to do.
from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = "flows/maintenance/watermark.py"

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from flows.etl import start

    start(SCRIPT, "flows.maintenance.watermark_command")
