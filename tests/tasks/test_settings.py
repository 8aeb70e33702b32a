import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tasks import settings

ROOT = Path(settings.__file__).resolve().parent.parent


def test_every_setting_of_the_project_becomes_a_variable():
    expected = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    }
    assert expected.items() <= settings.project_settings().items()


def test_what_the_user_has_set_stays():
    environment = {"PREFECT_RESULTS_DEFAULT_SERIALIZER": "pickle", "DO_NOT_TRACK": "0"}
    added = settings.apply(environment)
    assert environment["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "pickle"
    assert environment["DO_NOT_TRACK"] == "0"
    assert "PREFECT_RESULTS_DEFAULT_SERIALIZER" not in added
    assert settings.apply(environment) == {}


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_address_means_unset(blank):
    environment = {"PREFECT_API_URL": blank}
    settings.apply(environment)
    assert "PREFECT_API_URL" not in environment


def test_an_address_is_kept():
    environment = {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}
    settings.apply(environment)
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"


def test_a_missing_file_says_where_it_belongs(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "_CANDIDATES", (tmp_path / "prefect.toml",))
    with pytest.raises(FileNotFoundError, match=r"prefect\.toml is missing: it belongs at .*restore it"):
        settings.project_settings()


SHOW = """
{imports}
from prefect.settings import get_current_settings
s = get_current_settings()
print(s.server.ephemeral.startup_timeout_seconds, s.results.default_serializer, s.server.analytics_enabled, s.api.url)
"""


@pytest.mark.parametrize("imports", ["import tasks.settings", "import prefect\nimport tasks.settings"])
def test_prefect_sees_them_from_any_directory_whoever_is_imported_first(imports, tmp_path):
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": ""}
    script = SHOW.format(imports=imports)
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["180", "json", "False", "None"]


def test_prefect_knows_every_key_of_the_file():
    from prefect.settings import Settings

    def unknown(table, model, path=()):
        for key, value in table.items():
            if key not in model.model_fields:
                yield ".".join((*path, key))
            elif isinstance(value, dict):
                yield from unknown(value, model.model_fields[key].annotation, (*path, key))

    assert list(unknown(tomllib.loads((ROOT / "prefect.toml").read_text()), Settings)) == []
