"""Telling people of failed rules, by Great Expectations' actions: in counts, once a batch, whatever the network does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from dataflow.errors import ConfigError
from dataflow.model import RuleResult, Severity, Verdict, digest

SECONDS = 5.0
"""The time that an alert has, from looking up its address to the answer."""
SECRETS = ("url", "user", "password")
_TOLD: set[str] = set()
"""What was told of by this process, so that a step that is tried again does not tell it twice."""


class Secret(Protocol):
    """A text that has parts in the environment."""

    def reveal(self, env: Mapping[str, str] | None = None) -> str: ...


class Alert(Protocol):
    """Who is told, and of what: an alert of the configuration; each type has settings of its own."""

    @property
    def type(self) -> str: ...

    def fires(self, severity: Severity) -> bool: ...


def check_alerts(alerts: Sequence[Alert], env: Mapping[str, str] | None = None) -> None:
    """Look whether the secrets of all alerts are there, before anything runs.

    Errors: ConfigError that names the variable of the environment, and never shows one.
    """
    for alert in alerts:
        secrets: list[Secret] = [secret for key in SECRETS if (secret := getattr(alert, key, None)) is not None]
        texts = [secret.reveal(env) for secret in secrets]
        if hasattr(alert, "url") and not texts[0].startswith(("http://", "https://")):
            raise ConfigError(
                f"the {alert.type} alert has no address that begins with http:// or https://; "
                "set what its `url` names in the environment",
                alert=alert.type,
            )


def tell(
    alerts: Sequence[Alert], verdict: Verdict, *, pipeline: str, lake: str, seconds: float = SECONDS
) -> tuple[str, ...]:
    """Send the alerts that fire: those for the severity of a failed rule, or of a lower one.

    Answers what could not be sent, in words without secrets; that is never an error. An alert that was
    sent is not sent again by this process for the same verdict. One that nobody acknowledged in time is,
    if the step is tried again, and so is one whose run was killed before it could publish.
    """
    failed = [result for result in verdict.results if not result.success]
    notes: list[str] = []
    for nth, alert in enumerate(alerts):
        key = digest(lake, pipeline, verdict.stage, verdict.batch_id, verdict.digest, nth, alert.type)
        if key in _TOLD or not any(alert.fires(result.severity) for result in failed):
            continue
        problem = _within(seconds, lambda alert=alert: _send(alert, verdict, pipeline, lake, seconds))
        if problem is None:
            _TOLD.add(key)
        else:
            notes.append(f"the {alert.type} alert was not sent: {_in_words(problem, seconds)}")
    return tuple(notes)


def told(result: RuleResult) -> str:
    """What an alert says of a failed rule: names and counts, no value of any row."""
    about = f"{result.rule} ({result.severity})"
    if result.error is not None:
        return f"{about}: could not be evaluated"
    return f"{about}: {result.failed:,} of {result.checked:,} rows" if result.failed else f"{about}: not met"


def _send(alert: Alert, verdict: Verdict, pipeline: str, lake: str, seconds: float) -> None:
    from dataflow.quality.alert_actions import run_action

    run_action(alert, verdict, pipeline=pipeline, lake=lake, seconds=seconds)


def _within(seconds: float, send: Callable[[], None]) -> Exception | None:
    """What went wrong with ``send``; a thread that is still waiting then is left behind."""
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            send()
        except Exception as error:
            outcome.put(error)
        else:
            outcome.put(None)

    # Time limits of sockets begin anew with each packet, and a look-up of a name has none.
    threading.Thread(target=work, name="dataflow-alert", daemon=True).start()
    try:
        return outcome.get(timeout=2 * seconds)
    except queue.Empty:
        return TimeoutError()


def _in_words(problem: Exception, seconds: float) -> str:
    from dataflow.quality.alert_actions import in_words

    return in_words(problem, seconds)
