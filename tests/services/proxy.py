"""A proxy on loopback that stands before a real server, and does to some requests what networks and busy servers do.

It is a process of its own: delta-rs holds Python's lock while it waits for an answer.
"""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Trouble = Literal["fine", "500", "503", "slow", "refused", "cut", "unheard"]
"""What becomes of a request. ``refused``: the connection ends before it is sent on; ``cut``: it ends in the middle of the
answer's body; ``unheard``: the server does what it is asked, and the answer is lost."""
_SLOW_SECONDS = 0.3
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"}


@dataclass(frozen=True)
class Rule:
    """What happens to which requests."""

    trouble: Trouble
    every: int = 1
    """To each so manieth of those that the rule is about,"""
    first: int = 1
    """from this one on,"""
    last: int | None = None
    """up to this one."""
    methods: tuple[str, ...] = ()
    """Requests of all methods, or of these,"""
    path: str = ""
    """whose path has this in it."""

    def concerns(self, method: str, path: str) -> bool:
        return (not self.methods or method in self.methods) and self.path in path

    def strikes(self, number: int) -> bool:
        return self.first <= number <= (self.last or number) and (number - self.first) % self.every == 0


class Proxy:
    """Sends requests on, but for those that rules say otherwise of."""

    def __init__(self, url: str, pipe: Any) -> None:
        self.url = url
        """The server's address, by way of the proxy."""
        self._pipe = pipe

    def obey(self, *rules: Rule) -> None:
        """From now on these rules hold, which count from here; without any, every request is fine."""
        self._ask(rules)

    @property
    def happened(self) -> Counter[Trouble]:
        """What became of requests since rules were given."""
        return self._ask(None)

    def _ask(self, order: tuple[Rule, ...] | None) -> Counter[Trouble]:
        self._pipe.send(order)
        assert self._pipe.poll(20), "the proxy does not answer"
        return self._pipe.recv()


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """A proxy before ``upstream``, as long as the block lasts."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(upstream, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.poll(60), "the proxy did not start"
        yield Proxy(ours.recv(), ours)
    finally:
        process.terminate()
        process.join(20)
        process.close()
        ours.close()


def _serve(upstream: str, pipe: Any) -> None:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.upstream = urlsplit(upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(f"http://127.0.0.1:{server.server_port}{server.upstream.path}")
    with suppress(EOFError):
        while True:
            pipe.send(server.ordered(pipe.recv()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    upstream: Any
    rules: tuple[Rule, ...] = ()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = threading.Lock()
        self._numbers: Counter[Rule] = Counter()
        self._happened: Counter[Trouble] = Counter()

    def ordered(self, rules: tuple[Rule, ...] | None) -> Counter[Trouble]:
        with self._lock:
            if rules is not None:
                self.rules, self._numbers, self._happened = rules, Counter(), Counter()
            return self._happened

    def trouble(self, method: str, path: str) -> Trouble:
        """What becomes of a request; the first rule that strikes has it."""
        with self._lock:
            chosen: Trouble = "fine"
            for rule in self.rules:
                if rule.concerns(method, path):
                    self._numbers[rule] += 1
                    if chosen == "fine" and rule.strikes(self._numbers[rule]):
                        chosen = rule.trouble
            self._happened[chosen] += 1
            return chosen

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is none."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = self.server.trouble(self.command, self.path)
        if trouble == "refused":
            self._hang_up()
        elif trouble in ("500", "503"):
            self._answer(int(trouble), [], b"" if self.command == "HEAD" else b"<Error><Code>SlowDown</Code></Error>")
        elif self.headers.get("Upgrade"):
            self._tunnel()
        else:
            self._pass_on(body, trouble)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _handle

    def _pass_on(self, body: bytes, trouble: Trouble) -> None:
        if trouble == "slow":
            time.sleep(_SLOW_SECONDS)
        upstream = self.server.upstream
        connection = HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            self._hang_up()
            return
        finally:
            connection.close()
        if trouble == "unheard":
            self._hang_up()
            return
        self._answer(
            answer.status, _headers(answer), content, cut=trouble == "cut", length=answer.getheader("Content-Length")
        )

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", (length or "0") if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def _tunnel(self) -> None:
        """A connection that becomes something else (a web socket) is passed through byte by byte."""
        upstream = self.server.upstream
        with socket.create_connection((upstream.hostname or "", upstream.port or 80)) as there:
            lines = [f"{self.command} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers.items()), "", ""]
            there.sendall("\r\n".join(lines).encode())
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def _headers(answer: HTTPResponse) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.getheaders() if name.lower() not in _OF_THE_CONNECTION]


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
