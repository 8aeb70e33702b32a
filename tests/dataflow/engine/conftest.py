from __future__ import annotations

from pathlib import Path

import pytest

from tests.dataflow.engine.made import Made


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)
