"""Whose a table is: its description says so."""

from __future__ import annotations

import json
from typing import Any, cast

from deltalake import DeltaTable


def owner_text(pipeline: str) -> str:
    """What a table's description says of the pipeline that owns it."""
    return json.dumps({"dataflow_pipeline": pipeline})


def owner_of(handle: DeltaTable) -> str | None:
    """The pipeline that owns a table; None for a table that is not ours."""
    try:
        found: Any = json.loads(handle.metadata().description or "")
    except ValueError:
        return None
    owner = cast("dict[str, Any]", found).get("dataflow_pipeline") if isinstance(found, dict) else None
    return owner if isinstance(owner, str) else None
