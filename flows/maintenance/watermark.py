"""Shows how far sources are read, and moves them back: show, set, reset.

uv run python flows/maintenance/watermark.py --help
"""

# Only the standard library up here: where nothing is installed, this file still says what to do.
from __future__ import annotations

import os
import sys

SCRIPT = "flows/maintenance/watermark.py"

if __name__ == "__main__":
    project = os.path.abspath(__file__).removesuffix(SCRIPT)
    if project not in sys.path:
        sys.path.insert(0, project)
    from flows.etl import way_out

    if line := way_out(SCRIPT):
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2)
    from flows.maintenance.watermark_command import main
    from flows.terminal import leave

    leave(main())
