"""Alerts as they are configured, and that their secrets are nobody's to see."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from dataflow.config import AlertConfig, EmailAlert, PipelineConfig, Secret, SlackAlert, WebhookAlert, load
from dataflow.errors import ConfigError
from dataflow.quality.alerts import check_alerts

EMAIL = "type: email, host: h, sender: a@x, receivers: [b@x]"


def alerts(tmp_path: Path, *entries: str, env: dict[str, str] | None = None) -> tuple[AlertConfig, ...]:
    path = tmp_path / "s.yaml"
    listed = "".join(f"\n  - {{{entry}}}" for entry in entries)
    path.write_text(f"pipeline: shop\nsources: {{orders: {{path: a.csv}}}}\nalerts:{listed}\n")
    return load(path, env=env or {}).alerts


def test_alerts_of_each_type(tmp_path: Path):
    slack, plain, ssl, hook = alerts(
        tmp_path,
        "type: slack, url: '${SLACK}', severity: info",
        f"{EMAIL}, user: u, password: '${{P}}'",
        f"{EMAIL}, use_ssl: true, port: 465",
        "type: webhook, url: 'http://localhost:${PORT}/x'",
    )
    assert SlackAlert(type="slack", url=Secret("${SLACK}"), severity="info") == slack
    assert isinstance(plain, EmailAlert)
    assert isinstance(ssl, EmailAlert)
    assert isinstance(hook, WebhookAlert)
    assert (587, True, False) == (plain.port, plain.use_tls, plain.use_ssl)
    assert (465, False, True) == (ssl.port, ssl.use_tls, ssl.use_ssl)
    assert "http://localhost:80/x" == hook.url.reveal({"PORT": "80"})


def test_what_is_no_secret_is_taken_from_the_environment_at_once(tmp_path: Path):
    (email,) = alerts(
        tmp_path, "type: email, host: '${HOST}', sender: a, receivers: ['${TO}']", env={"HOST": "h", "TO": "b"}
    )
    assert isinstance(email, EmailAlert)
    assert ("h", ("b",)) == (email.host, email.receivers)


def test_secrets_are_looked_up_when_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (slack,) = alerts(tmp_path, "type: slack, url: '${SLACK_URL}'")
    assert isinstance(slack, SlackAlert)
    with pytest.raises(ConfigError, match="the environment variable SLACK_URL is not set; an alert needs it"):
        slack.url.reveal()
    monkeypatch.setenv("SLACK_URL", "https://x/s3cret")
    assert "https://x/s3cret" == slack.url.reveal()
    check_alerts([slack])
    assert "s3cret" not in repr(slack)


def test_secrets_are_not_printed(tmp_path: Path):
    (hook,) = made = alerts(tmp_path, "type: webhook, url: 'https://x/s3cret'")
    config = PipelineConfig.model_validate({"pipeline": "p", "sources": {"a": {"path": "a"}}, "alerts": made})
    for text in (repr(hook), str(hook), repr(config), config.model_dump_json(), str(config.model_dump())):
        assert "s3cret" not in text
    assert hook == pickle.loads(pickle.dumps(hook))


def test_references_survive_json(tmp_path: Path):
    made = alerts(tmp_path, "type: slack, url: '${SLACK}'", f"{EMAIL}, user: '${{U}}', password: '${{P}}'")
    config = PipelineConfig.model_validate({"pipeline": "p", "sources": {"a": {"path": "a"}}, "alerts": made})
    assert config == PipelineConfig.model_validate_json(config.model_dump_json())


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        ("critical", {"critical"}),
        ("warning", {"critical", "warning"}),
        ("info", {"critical", "warning", "info"}),
    ],
)
def test_an_alert_fires_from_its_severity_on(least: Any, expected: set[str]):
    alert = SlackAlert(type="slack", url=Secret("${S}"), severity=least)
    assert expected == {severity for severity in ("critical", "warning", "info") if alert.fires(severity)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "type: slak, url: s3cret",
            ".type: unknown value; did you mean 'slack'? accepted: email, slack, webhook (found",
        ),
        ("url: s3cret", ".type: is missing; it is required"),
        ("type: slack, ulr: s3cret", ".ulr: unknown key; did you mean 'url'? accepted: severity, type, url"),
        ("type: slack", ".url: is missing; it is required"),
        ("type: slack, url: s3cret", ".url: an address is expected, https://… or ${NAME} from the environment"),
        ("type: slack, url: 7777777", ".url: a text is expected, as in ${NAME} to take it from the environment"),
        (
            "type: webhook, url: 'http://x/${A:-b}'",
            ".url: only ${NAME} is understood of what refers to the environment",
        ),
        ("type: webhook, url: 'http://x', severity: warn", ".severity: unknown value; did you mean 'warning'?"),
        ("type: email, host: h, sender: a, receivers: b", ".receivers: a list is expected, as in [a, b] (found 'b')"),
        ("type: email, host: h, sender: a, receivers: []", ".receivers: may not be empty"),
        (f"{EMAIL}, port: 0", ".port: should be greater than or equal to 1 (found 0)"),
        (f"{EMAIL}, user: ''", ".user: a text is expected, as in ${NAME}"),
        (f"{EMAIL}, user: u", ": user and password go together; give both, or neither"),
        (f"{EMAIL}, user: u, password: s3cret", ".password: a password has no place in a configuration; write ${NAME}"),
        (
            f"{EMAIL}, user: u, password: 7777777",
            ".password: a password has no place in a configuration; write ${NAME}",
        ),
        (
            f"{EMAIL}, use_tls: true, use_ssl: true",
            ": use_tls and use_ssl are two ways to the same end; set one of them",
        ),
    ],
)
def test_each_mistake_is_placed_and_no_secret_told(tmp_path: Path, entry: str, message: str):
    with pytest.raises(ConfigError) as caught:
        alerts(tmp_path, entry)
    said = str(caught.value)
    assert said.removeprefix(f"{tmp_path}/s.yaml:4: alerts.0").startswith(message)
    assert not any(secret in said for secret in ("s3cret", "7777777"))
