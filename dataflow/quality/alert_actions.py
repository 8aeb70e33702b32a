"""Great Expectations' Slack, e-mail and webhook actions, with time limits and with messages of counts alone.

Imported when an alert is sent: Great Expectations takes seconds.
"""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

import html
import logging
import smtplib
import ssl
from email.message import EmailMessage
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

import requests
from great_expectations.checkpoint.actions import APINotificationAction, EmailAction, SlackNotificationAction
from great_expectations.checkpoint.checkpoint import Checkpoint, CheckpointResult
from great_expectations.compatibility import pydantic
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult, RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.render.renderer.email_renderer import EmailRenderer
from great_expectations.render.renderer.slack_renderer import SlackRenderer

from dataflow.errors import ConfigError
from dataflow.model import Verdict
from dataflow.quality.alerts import Alert, told

ELSEWHERE = "elsewhere"
"""Stands where Great Expectations would hold a secret: it is looked up when it is sent."""
LONGEST = 3000
"""Slack takes no longer text."""
MOST = 20
"""As many rules are named in a message."""
# It tells every address in full, which for a webhook is its secret.
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)


class Refused(Exception):
    """A service that answered, but not with a yes."""


class SlackText(SlackRenderer):
    """What a channel reads."""

    def _build_description_block(self, validation_result: Any, validation_result_urls: Any) -> dict[str, Any]:
        lines = "\n".join(html.escape(line, quote=False) for line in validation_result.meta["lines"])
        return {"type": "section", "text": {"type": "mrkdwn", "text": lines[:LONGEST]}}


class EmailText(EmailRenderer):
    """What a mail says."""

    def render(self, checkpoint_result: Any) -> tuple[str, str]:
        (result,) = checkpoint_result.run_results.values()
        lines = "".join(f"<p>{html.escape(line)}</p>\n" for line in result.meta["lines"])
        return result.meta["title"], f"<html><body>\n{lines}</body></html>\n"


class Slack(SlackNotificationAction):
    """A message to a channel."""

    type: Literal["dataflow_slack"] = "dataflow_slack"
    renderer: SlackRenderer = SlackText()
    _alert: Any = pydantic.PrivateAttr()  # pyright: ignore[reportPrivateImportUsage]
    _seconds: float = pydantic.PrivateAttr()  # pyright: ignore[reportPrivateImportUsage]

    def _get_docs_sites_urls(self, *_: Any, **__: Any) -> list[Any]:
        return []  # Data Docs lie in the lake: a link would be one to somebody else's disk

    def _send_slack_notification(self, payload: dict[str, Any]) -> dict[str, Any]:
        return post(self._alert.url.reveal(), payload, self._seconds)


class Email(EmailAction):
    """A mail."""

    type: Literal["dataflow_email"] = "dataflow_email"
    renderer: EmailRenderer = EmailText()
    _alert: Any = pydantic.PrivateAttr()  # pyright: ignore[reportPrivateImportUsage]
    _seconds: float = pydantic.PrivateAttr()  # pyright: ignore[reportPrivateImportUsage]

    def _send_email(self, title: str, html: str, receiver_emails_list: list[str]) -> str:
        to, trusted = self._alert, ssl.create_default_context()
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = title, to.sender, ", ".join(receiver_emails_list)
        message.set_content(html, subtype="html")
        connect: Any = partial(smtplib.SMTP_SSL, context=trusted) if to.use_ssl else smtplib.SMTP
        with connect(to.host, to.port, timeout=self._seconds) as server:
            if to.use_tls:
                server.starttls(context=trusted)
            if to.user is not None:
                server.login(to.user.reveal(), to.password.reveal())
            server.send_message(message)
        return "success"


class Webhook(APINotificationAction):
    """A POST of the verdict."""

    type: Literal["dataflow_webhook"] = "dataflow_webhook"
    _alert: Any = pydantic.PrivateAttr()  # pyright: ignore[reportPrivateImportUsage]
    _seconds: float = pydantic.PrivateAttr()  # pyright: ignore[reportPrivateImportUsage]

    def run(self, checkpoint_result: CheckpointResult, action_context: Any = None) -> dict[str, Any]:
        told_as: Any = next(iter(checkpoint_result.run_results.values()))
        return post(self._alert.url.reveal(), told_as.meta["payload"], self._seconds)


def post(url: str, payload: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Send JSON, and take no answer but yes.

    Errors: Refused; those of requests.
    """
    # Not where it is redirected to: that address is nobody's choice. The answer's text is not read, however long.
    with requests.post(url, json=payload, timeout=seconds, allow_redirects=False, stream=True) as answer:
        if answer.status_code >= 300:
            raise Refused(f"it answered {answer.status_code}")
        return {"result": answer.status_code}


def run_action(alert: Alert, verdict: Verdict, *, pipeline: str, lake: str, seconds: float) -> None:
    """Run the action of an alert on a verdict, told as the result of a checkpoint.

    Errors: Refused, ConfigError, those of requests and smtplib.
    """
    settings: Any = alert
    match alert.type:
        case "slack":
            action: Any = Slack(name=pipeline, slack_webhook=ELSEWHERE)
        case "email":
            action = Email(
                name=pipeline,
                smtp_address=settings.host,
                smtp_port=str(settings.port),
                receiver_emails=", ".join(settings.receivers),
                sender_login=ELSEWHERE,
                sender_password=ELSEWHERE,
            )
        case _:
            action = Webhook(name=pipeline, url=ELSEWHERE)
    action._alert, action._seconds = alert, seconds
    action._data_context = SimpleNamespace(config_provider=object())  # nothing is left to fill in
    action.run(checkpoint_result=_outcome(verdict, pipeline, lake))


def in_words(problem: Exception, seconds: float) -> str:
    """An error in words of ours: those of libraries show addresses, which may be secrets."""
    # That it waited too long, smtplib wraps into an error about the connection.
    match problem.__context__ if isinstance(problem.__context__, TimeoutError) else problem:
        case Refused() | ConfigError():
            return str(problem)
        case TimeoutError() | requests.Timeout():
            return f"no answer within {seconds:g} s"
        case ssl.SSLError() | requests.exceptions.SSLError():
            return "no secure connection: TLS is not spoken there, or its certificate is not trusted"
        case smtplib.SMTPAuthenticationError():
            return "the mail server refused user or password"
        case smtplib.SMTPRecipientsRefused():
            return "the mail server refused every receiver"
        case smtplib.SMTPNotSupportedError():
            return "the mail server does not offer what the alert asks for: TLS, or a log-in"
        case smtplib.SMTPResponseException(smtp_code=code):
            return f"the mail server answered {code}"
        case OSError():
            return "no connection"
        case _:
            return type(problem).__name__


def _outcome(verdict: Verdict, pipeline: str, lake: str) -> CheckpointResult:
    failed = [result for result in verdict.results if not result.success]
    meta = {
        "title": f"{pipeline}: {verdict.stage} {verdict.outcome}, {len(failed)} of {len(verdict.results)} rules not met",
        "lines": _lines(verdict, lake),
        "payload": _payload(verdict, pipeline, lake),
    }
    results = [
        ExpectationValidationResult(
            success=result.success,
            expectation_config=ExpectationConfiguration(type="rule", kwargs={}, severity=result.severity),  # type: ignore[arg-type]
        )
        for result in verdict.results
    ]
    told_as = ExpectationSuiteValidationResult(
        success=not failed, results=results, suite_name=verdict.stage, statistics={}, meta=meta
    )
    run = RunIdentifier(run_name=verdict.batch_id)
    named = ValidationResultIdentifier(ExpectationSuiteIdentifier(name=verdict.stage), run, verdict.batch_id)
    judged = Checkpoint.construct(name=verdict.stage, validation_definitions=[], actions=[])
    return CheckpointResult(run_id=run, run_results={named: told_as}, checkpoint_config=judged)


def _lines(verdict: Verdict, lake: str) -> list[str]:
    failed = [result for result in verdict.results if not result.success]
    more = [f"… and {len(failed) - MOST} rules more"] if len(failed) > MOST else []
    return [
        f"{verdict.outcome}: {len(failed)} of {len(verdict.results)} rules not met",
        *(told(result) for result in failed[:MOST]),
        *more,
        f"batch {verdict.batch_id}; lake {lake}",
    ]


def _payload(verdict: Verdict, pipeline: str, lake: str) -> dict[str, Any]:
    names = {"rule", "severity", "route", "scope", "success", "checked", "failed", "repaired"}
    rules = [{**r.model_dump(include=names), "evaluated": r.error is None} for r in verdict.results]
    about = {"pipeline": pipeline, "stage": verdict.stage, "batch_id": verdict.batch_id, "lake": lake}
    return {**about, "outcome": verdict.outcome, "rules": rules}
