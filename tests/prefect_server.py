"""One real Prefect server for a whole test run, however many workers share it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_SECONDS = 180
_STARTED: list[subprocess.Popen[bytes]] = []  # a handle that is dropped while its process runs raises a warning


@dataclass
class PrefectServer:
    """Started once, named by a file in the run's folder, stopped by process id."""

    folder: Path

    def start(self) -> str:
        """Start it, or find the one that another worker has started; answer its API's address."""
        with self._locked():
            if not self._note.exists():
                port = _free_port()
                process = self._launch(port)
                url = f"http://127.0.0.1:{port}/api"
                self._note.write_text(json.dumps({"pid": process.pid, "url": url}))
                self._wait(process, url)
            return json.loads(self._note.read_text())["url"]

    def stop(self) -> None:
        """Stop it with its children, politely at first."""
        if not self._note.exists():
            return
        group = json.loads(self._note.read_text())["pid"]
        for attempt in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(group, attempt)
            if _gone(group, seconds=10):
                break
        self._note.unlink()

    @property
    def _note(self) -> Path:
        return self.folder / "prefect-server.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.folder / "prefect-server.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment["PREFECT_HOME"] = str(self.folder / "prefect-server")
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with open(self.folder / "prefect-server.log", "wb") as log:
            process = subprocess.Popen(
                command,
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _STARTED.append(process)
        return process

    def _wait(self, process: subprocess.Popen[bytes], url: str) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while process.poll() is None and time.monotonic() < until:
            with suppress(URLError, OSError), urlopen(f"{url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        log = (self.folder / "prefect-server.log").read_text(errors="replace")
        self.stop()
        raise RuntimeError(f"the Prefect server did not answer at {url}; its log ends:\n{log[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _gone(group: int, *, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(ChildProcessError):
            os.waitpid(group, os.WNOHANG)  # a child of ours stays a zombie until it is waited for
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
