"""Chromium, which opens a page and shows what became of it; no name resolves, so a page has what it brings."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
    "--virtual-time-budget=2000",
    "--window-size=1200,1400",
)


@dataclass(frozen=True)
class Opened:
    """The page as it stands once its scripts ran, and what its console says."""

    dom: str
    console: str


def opened(address: str, profile: Path) -> Opened:
    """Open a page."""
    if PROGRAM is None:
        pytest.skip("there is no chromium on this machine")
    command = [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return Opened(done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line))
