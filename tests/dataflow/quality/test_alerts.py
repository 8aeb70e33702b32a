from __future__ import annotations

import json
import logging
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import TypeAdapter

from dataflow.config import AlertConfig
from dataflow.errors import ConfigError
from dataflow.model import RuleResult, Verdict
from dataflow.quality.alert_actions import Refused, in_words
from dataflow.quality.alerts import check_alerts, tell

TOKEN = "T0P-S3CRET-token"
SECONDS = 1.0


class Sink(BaseHTTPRequestHandler):
    """Keeps what it is sent; answers what its server says."""

    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, json.loads(body)))
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Not to the terminal."""


@pytest.fixture
def sink() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.taken, server.status, server.delay, server.daemon_threads = [], 200, 0, True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def url(sink: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{sink.server_port}/{TOKEN}")
    return "${HOOK}"


class Mails:
    """Keeps the mails that it is handed."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append(envelope)
        return self.answer

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if "nobody" in address:
            return "550 there is no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def _may(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"ada", TOKEN.encode()), handled=False)


@pytest.fixture
def mails() -> Iterator[Any]:
    handler: Any = Mails()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(
        handler, hostname="127.0.0.1", port=port, authenticator=_may, auth_require_tls=False, auth_required=False
    )
    controller.start()
    handler.port = port
    yield handler
    controller.stop()


def alert(kind: str, **settings: Any) -> Any:
    return TypeAdapter[Any](AlertConfig).validate_python({"type": kind, **settings})


def email(mails: Any, **settings: Any) -> Any:
    who = {"sender": "lake@example.org", "receivers": ["ada@example.org", "grace@example.org"]}
    return alert("email", **{"host": "127.0.0.1", "port": mails.port, "use_tls": False, **who, **settings})


def rule(name: str, severity: Any = "critical", **more: Any) -> RuleResult:
    values: dict[str, Any] = {"success": False, "checked": 1000, "failed": 3, "observed": "ada@example.org"}
    return RuleResult(rule=name, severity=severity, route="quarantine", **(values | more))


def verdict(*results: RuleResult, batch: str = "") -> Verdict:
    # A batch of its own for each test: what was told once is not told again.
    return Verdict(stage="customers", batch_id=batch or f"b{time.time_ns()}", digest="d", results=results)


PASSED = rule("has_name", success=True, failed=0)
WARNED = rule("valid_email", "warning", statement="email LIKE '%ada%'")
BROKEN = rule("typed", error="cannot convert 'ada@example.org'")
EMPTY = rule("enough_rows", failed=0)


def told(alerts: Any, judged: Verdict, **more: Any) -> tuple[str, ...]:
    return tell([alerts], judged, pipeline="shop", lake="/lake", **({"seconds": SECONDS} | more))


def test_a_channel_reads_the_rules_that_are_not_met_in_counts(sink: Any, url: str):
    judged = verdict(PASSED, WARNED, BROKEN, EMPTY, batch="b-slack")

    assert () == told(alert("slack", url=url), judged)

    ((path, message),) = sink.taken
    header, _, text, _ = message["blocks"]
    assert f"/{TOKEN}" == path
    assert "shop - customers - Failure :no_entry:" == header["text"]["text"]
    assert """rejected: 3 of 4 rules not met
valid_email (warning): 3 of 1,000 rows
typed (critical): could not be evaluated
enough_rows (critical): not met
batch b-slack; lake /lake""" == text["text"]["text"]


def test_a_mail_says_the_same(mails: Any):
    assert () == told(email(mails, severity="warning"), verdict(PASSED, rule("<b>", "warning"), batch="b-mail"))

    (envelope,) = mails.taken
    message = message_from_bytes(envelope.content)
    assert ("lake@example.org", ["ada@example.org", "grace@example.org"]) == (envelope.mail_from, envelope.rcpt_tos)
    assert "shop: customers quarantined, 1 of 2 rules not met" == message["Subject"]
    body: Any = message.get_payload(decode=True)
    assert "<p>&lt;b&gt; (warning): 3 of 1,000 rows</p>" in body.decode()


def test_a_webhook_takes_the_verdict_as_json(sink: Any, url: str):
    assert () == told(alert("webhook", url=url), verdict(PASSED, BROKEN, batch="b-hook"))

    ((_, payload),) = sink.taken
    assert {
        "pipeline": "shop",
        "stage": "customers",
        "batch_id": "b-hook",
        "lake": "/lake",
        "outcome": "rejected",
        "rules": [
            {
                "rule": name,
                "severity": "critical",
                "route": "quarantine",
                "scope": "row",
                "success": success,
                "checked": 1000,
                "failed": failed,
                "repaired": 0,
                "evaluated": success,
            }
            for name, success, failed in (("has_name", True, 0), ("typed", False, 3))
        ],
    } == payload


def test_no_value_of_a_row_is_told(sink: Any, url: str, mails: Any):
    for each in (alert("slack", url=url), alert("webhook", url=url), email(mails, receivers=["grace@example.org"])):
        told(each, verdict(WARNED, BROKEN, rule("counted", "info", rows=(12345,))))

    everything = json.dumps(sink.taken) + mails.taken[0].content.decode()
    assert [] == re.findall(r"ada|12345", everything)


@pytest.mark.parametrize(
    ("least", "severity", "fires"),
    [
        (least, severity, fires)
        for least, those in (("critical", "c"), ("warning", "cw"), ("info", "cwi"))
        for severity in ("critical", "warning", "info")
        for fires in [severity[0] in those]
    ],
)
def test_an_alert_fires_for_its_severity_and_what_is_worse(sink: Any, url: str, least: str, severity: str, fires: bool):
    told(alert("webhook", url=url, severity=least), verdict(PASSED, rule("r", severity)))

    assert fires == bool(sink.taken)


def test_a_batch_that_passes_alerts_nobody(sink: Any, url: str):
    assert () == told(alert("slack", url=url, severity="info"), verdict(PASSED))
    assert [] == sink.taken


def test_a_long_message_is_cut(sink: Any, url: str):
    told(alert("slack", url=url), verdict(*(rule(f"r{n}") for n in range(25))))
    told(alert("slack", url=url), verdict(rule("r" * 9000)))

    assert 3000 == len(sink.taken[1][1]["blocks"][2]["text"]["text"])
    lines = sink.taken[0][1]["blocks"][2]["text"]["text"].splitlines()
    assert ("r19 (critical): 3 of 1,000 rows", "… and 5 rules more") == (lines[20], lines[21])


def test_a_batch_is_told_of_once_by_each_alert(sink: Any, url: str):
    slack, hook, judged = alert("slack", url=url), alert("webhook", url=url), verdict(WARNED, BROKEN)

    for _ in range(2):
        tell([slack, hook, hook], judged, pipeline="shop", lake="/lake")

    assert 3 == len(sink.taken)
    told(slack, judged.model_copy(update={"batch_id": "another"}))
    assert 4 == len(sink.taken)


def test_an_alert_that_was_not_sent_is_tried_again_with_the_step(sink: Any, url: str):
    hook, judged = alert("webhook", url=url), verdict(BROKEN)

    sink.status = 503
    assert ("the webhook alert was not sent: it answered 503",) == told(hook, judged)
    sink.status = 204
    assert () == told(hook, judged)
    assert 2 == len(sink.taken)


# ---------------------------------------------------------------- what goes wrong


def test_where_it_is_redirected_to_an_alert_does_not_go(sink: Any, url: str):
    sink.status = 307

    assert ("the slack alert was not sent: it answered 307",) == told(alert("slack", url=url), verdict(BROKEN))
    assert [f"/{TOKEN}"] == [path for path, _ in sink.taken]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_what_does_not_answer_costs_seconds_and_a_note(silent: int, sink: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{silent}/{TOKEN}")
    began = time.monotonic()

    for each in (alert("slack", url="${HOOK}"), email(type("Mails", (), {"port": silent}))):
        assert (f"the {each.type} alert was not sent: no answer within 0.3 s",) == told(
            each, verdict(BROKEN), seconds=0.3
        )

    assert time.monotonic() - began < 5


def test_what_takes_forever_in_small_steps_is_left_behind(sink: Any, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))

    assert ("the webhook alert was not sent: no answer within 0.1 s",) == told(
        alert("webhook", url=url), verdict(BROKEN), seconds=0.1
    )


def test_what_is_not_there_costs_a_note(monkeypatch: pytest.MonkeyPatch):
    port = closed_port()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{port}/{TOKEN}")

    for each in (alert("slack", url="${HOOK}"), alert("webhook", url="${HOOK}"), email(type("M", (), {"port": port}))):
        assert (f"the {each.type} alert was not sent: no connection",) == told(each, verdict(BROKEN))


def test_a_log_in_takes_its_password_from_the_environment(mails: Any, monkeypatch: pytest.MonkeyPatch):
    login = {"user": "ada", "password": "${SMTP_PASSWORD}"}
    monkeypatch.setenv("SMTP_PASSWORD", TOKEN)
    assert () == told(email(mails, **login), verdict(BROKEN))

    monkeypatch.setenv("SMTP_PASSWORD", "wrong")
    assert ("the email alert was not sent: the mail server refused user or password",) == told(
        email(mails, **login), verdict(BROKEN)
    )


def test_what_a_mail_server_refuses_is_told_in_words(mails: Any):
    def note(**settings: Any) -> str:
        (said,) = told(email(mails, **settings), verdict(BROKEN))
        return said.removeprefix("the email alert was not sent: ")

    assert "the mail server does not offer what the alert asks for: TLS, or a log-in" == note(use_tls=True)
    assert "no secure connection: TLS is not spoken there, or its certificate is not trusted" == note(use_ssl=True)
    assert "the mail server refused every receiver" == note(receivers=["nobody@example.org"])
    mails.answer = "554 no"
    assert "the mail server answered 554" == note()


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (ValueError(TOKEN), "ValueError"),
        (requests.exceptions.SSLError(TOKEN), "no secure connection: TLS is not spoken there, or its certificate is not trusted"),
        (ssl.SSLError(TOKEN), "no secure connection: TLS is not spoken there, or its certificate is not trusted"),
        (requests.exceptions.InvalidURL(TOKEN), "no connection"),
        (smtplib.SMTPServerDisconnected(TOKEN), "no connection"),
        (Refused("it answered 500"), "it answered 500"),
        (ConfigError("the environment variable X is not set"), "the environment variable X is not set"),
    ],
)  # fmt: skip
def test_errors_are_told_without_what_they_carry(problem: Exception, expected: str):
    assert expected == in_words(problem, 5)


def test_a_secret_that_went_missing_meanwhile_costs_a_note(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GONE", raising=False)

    (note,) = told(alert("slack", url="${GONE}"), verdict(BROKEN))

    assert "the slack alert was not sent: the environment variable GONE is not set; an alert needs it" == note


def test_secrets_are_in_no_log_and_no_note(sink: Any, url: str, mails: Any, caplog: Any, capfd: Any, monkeypatch: Any):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SMTP_PASSWORD", f"{TOKEN}-wrong")
    sink.status = 404

    notes = [
        *told(alert("slack", url=url), verdict(BROKEN)),
        *told(alert("webhook", url=url), verdict(BROKEN)),
        *told(email(mails, user="ada", password="${SMTP_PASSWORD}"), verdict(BROKEN)),
    ]

    assert 3 == len(notes)
    assert TOKEN not in "".join(notes) + caplog.text + "".join(capfd.readouterr())


# ---------------------------------------------------------------- before anything runs


def test_secrets_that_are_there_are_all_right(mails: Any, url: str):
    check_alerts([alert("slack", url=url), email(mails), email(mails, user="${U}", password="${P}")], {"HOOK": "https://x", "U": "", "P": ""})  # fmt: skip


@pytest.mark.parametrize("missing", ["HOOK", "P", "U"])
def test_a_missing_secret_is_named_before_anything_runs(mails: Any, missing: str):
    env = {name: f"http://{TOKEN}" for name in ("HOOK", "P", "U") if name != missing}
    alerts = [alert("webhook", url="${HOOK}"), email(mails, user="${U}", password="${P}")]

    with pytest.raises(ConfigError, match=f"environment variable {missing} is not set") as caught:
        check_alerts(alerts, env)

    assert TOKEN not in str(caught.value)


def test_an_address_that_is_none_is_found_before_anything_runs():
    with pytest.raises(ConfigError, match="the slack alert has no address that begins with http") as caught:
        check_alerts([alert("slack", url="${HOOK}")], {"HOOK": f"ftp://{TOKEN}"})

    assert TOKEN not in str(caught.value)
