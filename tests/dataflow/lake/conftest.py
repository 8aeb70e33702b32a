from __future__ import annotations

import pytest
from deltalake import DeltaTable

from dataflow.lake.lake import Lake


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tables that were opened."""
    found: list[str] = []
    opens = Lake.open

    def noted(self: Lake, table: str, version: int | None = None) -> DeltaTable:
        found.append(table)
        return opens(self, table, version)

    monkeypatch.setattr(Lake, "open", noted)
    return found
