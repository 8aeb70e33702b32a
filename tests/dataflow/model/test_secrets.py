from __future__ import annotations

import json

import pytest

from dataflow.model import secrets
from dataflow.model.secrets import hide, hide_named, redacted


@pytest.fixture(autouse=True)
def _nothing_is_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(secrets, "_hidden", set())


def test_what_is_hidden_is_not_shown_wherever_it_stands():
    hide(["swordfish"])
    assert "user:•••@host, •••" == redacted("user:swordfish@host, swordfish")


def test_a_secret_that_holds_another_leaves_nothing_of_itself():
    hide(["fish", "swordfish-42"])
    assert "••• •••" == redacted("swordfish-42 fish")


@pytest.mark.parametrize("secret", ['quo"ted', "back\\slash", "naïve", "two\nlines"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_secret_is_hidden_in_json_too(secret: str, ascii_only: bool):
    hide([secret])
    assert {"m": "a ••• b"} == json.loads(redacted(json.dumps({"m": f"a {secret} b"}, ensure_ascii=ascii_only)))


def test_text_that_is_too_short_to_be_a_secret_stays():
    hide(["", "a", "on"])
    assert "on a line" == redacted("on a line")


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "aws_access_key_id", "PGPASSWORD", "GITHUB_TOKEN", "azure_storage_sas_token", "API_KEY"],
)
def test_settings_with_the_name_of_a_secret_are_hidden(name: str):
    hide_named({name: "swordfish", "AWS_REGION": "eu-south-1", "RAW_DATA_PATH": "/data/raw"})
    assert "••• /data/raw eu-south-1" == redacted("swordfish /data/raw eu-south-1")
