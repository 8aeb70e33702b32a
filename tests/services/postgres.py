"""A PostgreSQL of its own for a test module, on loopback, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "s3cr3t-of-ann"
_CONFLICTS = "-c unix_socket_directories='' -c fsync=off -c shared_buffers=16MB"


class Postgres:
    """A cluster that listens on ``port``; ``sql`` runs statements in it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.log = folder / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"postgresql://ann:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def command(self, *arguments: str) -> None:
        # The server refuses to run as root.
        own: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(arguments, check=True, cwd="/", timeout=120, **quiet, **own)

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 {_CONFLICTS}"
        self.command("pg_ctl", "-D", str(self.data), "-w", "-t", "100", "-l", str(self.log), "-o", options, "start")

    def stop(self) -> None:
        self.command("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def sql(self, *statements: str) -> list[Any]:
        """The rows of the last statement; all of them are one transaction."""
        import psycopg

        with psycopg.connect(self.url) as connection:
            for statement in statements:
                found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []


def missing() -> str | None:
    """Why there can be no server here; None where there can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        return "PostgreSQL is not installed (initdb, pg_ctl)"
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return "there is no user postgres to run the server as" if os.getuid() == 0 else None
    return None


@contextmanager
def running() -> Iterator[Postgres]:
    """A server with the user ann, who has a password."""
    folder = Path(tempfile.mkdtemp(prefix="dataflow-postgres-"))
    found = Postgres(folder)
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        auth = ("-A", "scram-sha-256", "-U", "ann", f"--pwfile={secret}")
        found.command("initdb", "-D", str(found.data), "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", *auth)
        found.start()
        try:
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
