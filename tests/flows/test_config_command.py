"""``flows/etl.py config``, and which configuration a command line means."""

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from flows.command import PROJECT, main
from tests.dataflow.config.pipelines import changed, write

# A function that tables can be given to, by name.
SHOP = changed("function: builtins:len", "function: counting_stages:counted")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "counting_stages.py").write_text("def counted(rows):\n    return rows\n")
    write(tmp_path, SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("LOG_", "DATAFLOW__", "PIPELINE_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def config(what: str, *arguments: str) -> int:
    return main(["config", what, "--config", "events.yaml", *arguments])


def test_show_prints_every_value_and_what_says_it(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (shop / ".env").write_text("LOG_LEVEL=warning\nBUCKET=hunter2\n")
    monkeypatch.setenv("DATAFLOW__RUN__THREADS", "3")
    assert 0 == config("show", "--scale", "7", "--set", "lake=s3://${BUCKET}/lake")
    out, err = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in [
        "pipeline: events # events.yaml:1",
        "lake: s3://${BUCKET}/lake # --set",
        "type: pubsub # events.yaml:4",
        "buffer_size: 5 # events.yaml:6",
        "scale: 7 # --scale",
        "seed: 7 # default",
        "threads: 3 # DATAFLOW__RUN__THREADS",
        "level: WARNING # .env: LOG_LEVEL",
        "write_mode: append # events.yaml:18, inactive: eager_dedup is not among strategies.enabled",
    ]:
        assert line in lines
    assert "" == err
    assert "hunter2" not in out
    assert not (shop / "lake").exists()


def test_what_show_prints_is_yaml(shop: Path, capsys: pytest.CaptureFixture[str]):
    from ruamel.yaml import YAML

    gate = "source.gate=[{name: known, predicate: value IS NOT NULL}, {name: '1', predicate: \"message_id <> '#: a'\"}]"
    assert 0 == config("show", "--set", gate, "--set", "stages.counted.pii=['yes', 'no: no', 'null', 'ä']")
    shown = YAML(typ="safe", pure=True).load(capsys.readouterr().out)
    assert ["known", "1"] == [rule["name"] for rule in shown["source"]["gate"]]
    assert "message_id <> '#: a'" == shown["source"]["gate"][1]["predicate"]
    assert ["yes", "no: no", "null", "ä"] == shown["stages"]["counted"]["pii"]
    assert (5, 0.2) == (shown["source"]["pubsub"]["buffer_size"], shown["generation"]["chaos"]["slow_rate"])


def test_show_as_json(shop: Path, capsys: pytest.CaptureFixture[str]):
    assert 0 == config("show", "--json", "--seed", "3")
    found = {each["key"]: each for each in json.loads(capsys.readouterr().out)["values"]}
    assert {"key": "generation.seed", "value": 3, "layer": "flag", "said_by": "--seed", "inactive": None} == found[
        "generation.seed"
    ]
    assert ("default", None) == (found["run.threads"]["layer"], found["run.threads"]["said_by"])
    assert ("file", "source.type is pubsub") == (
        found["source.file.path"]["layer"],
        found["source.file.path"]["inactive"],
    )


def test_check_counts_what_is_right(shop: Path, capsys: pytest.CaptureFixture[str]):
    assert 0 == config("check")
    assert "ok: 1 source, 3 stages\n" == capsys.readouterr().out
    assert 0 == config("check", "--json", "--strategy", "bronze_append", "--set", "stages={}")
    assert {"ok": True, "sources": 1, "stages": 1} == json.loads(capsys.readouterr().out)


def test_check_lists_all_that_is_wrong(shop: Path, capsys: pytest.CaptureFixture[str]):
    write(
        shop, SHOP.replace("buffer_size", "bufer_size").replace("write_mode", "mode").replace("pipeline: events\n", "")
    )
    assert 2 == config("check")
    out, err = capsys.readouterr()
    assert "" == out
    assert ["events.yaml:1", "events.yaml:5", "events.yaml:17"] == sorted(
        (line.removeprefix("error: ").rsplit(": ", 2)[0].split(": ")[0] for line in err.splitlines()),
        key=lambda place: int(place.partition(":")[2]),
    )
    assert 2 == config("check", "--json")
    assert 2 == json.loads(capsys.readouterr().out)["exit_code"]


def test_check_also_finds_what_only_the_workflow_knows(shop: Path, capsys: pytest.CaptureFixture[str]):
    write(shop, SHOP.replace("counted\n    depends_on: [events_polars_merge]", "counts\n    depends_on: [none]"))
    assert 2 == config("check")
    assert "events.yaml:21: stages.counted.function: counting_stages:counts: no" in capsys.readouterr().err
    write(shop, SHOP.replace("[events_polars_merge]", "[events_scd2]"))
    assert 2 == config("check")
    message = "error: events.yaml:22: stages.counted.depends_on: unknown stage 'events_scd2'"
    assert capsys.readouterr().err.startswith(message)


def test_schema_is_one_for_editors(shop: Path, capsys: pytest.CaptureFixture[str]):
    assert 0 == main(["config", "schema"])
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    assert "Which block counts" in schema["$defs"]["SourceBlock"]["properties"]["type"]["description"]
    assert 2 == main(["config", "schema", "--scale", "3", "--set", "a=b"])
    message = "error: config schema is the same for every configuration; leave --scale and --set out\n"
    assert message == capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "events.yaml", "config", "check"], "error: Invalid value: options come after the command"),
        (["--full", "config", "show"], "error: Invalid value: options come after the command: config ... --full ..."),
        (["config"], "error: Missing argument 'what'"),
        (["config", "shwo"], "error: Invalid value for 'what': 'shwo' is not one of"),
        (["config", "check", "--config", "none.yaml"], "error: none.yaml: there is no such configuration file"),
        (["config", "check", "--config", "events.yaml", "--mode", "speed"], "error: --mode: generation.mode: unknown"),
        (
            ["--config", "events.yaml", "--source", "file", "--scale", "3"],
            "error: --scale: generation.scale: has no eff",
        ),
        (["--config", "events.yaml", "--lake", " "], "error: --lake is empty"),
        (["--config", "events.yaml", "--log-file", "events.yaml/x"], "error: the log file "),
    ],
)
def test_bad_usage_is_one_line(shop: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str):
    assert 2 == main(arguments)
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith(message)
    assert 1 == len(err.splitlines())


# ---------------------------------------------------------------- which configuration


def pipeline(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert 0 == main(["config", "show", "--json", *arguments])
    out, err = capsys.readouterr()
    return next(each["value"] for each in json.loads(out)["values"] if each["key"] == "pipeline"), err


def test_the_flights_are_the_default_and_a_source_means_the_events(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert ("flights", "") == pipeline(capsys)
    events = os.path.relpath(PROJECT / "config" / "events.yaml")
    note = f"note: --source without --config: {events} is taken\n"
    assert ("events", note) == pipeline(capsys, "--source", "polars_synthetic")
    write(shop, SHOP.replace("pipeline: events", "pipeline: mine"), "mine.yaml")
    assert ("mine", "") == pipeline(capsys, "--source", "pubsub", "--config", "mine.yaml")
    (shop / ".env").write_text("PIPELINE_CONFIG=mine.yaml\n")
    assert ("mine", "") == pipeline(capsys, "--source", "pubsub")
    monkeypatch.setenv("PIPELINE_CONFIG", "events.yaml")
    assert ("events", "") == pipeline(capsys)


def test_an_option_that_the_default_cannot_take_says_what_can(shop: Path, capsys: pytest.CaptureFixture[str]):
    assert 2 == main(["--scale", "3"])
    err = capsys.readouterr().err
    assert "flights.yaml, which has `sources` and no `source`; leave it out, or take a configuration with" in err


def test_help_tells_the_options_and_the_command(capsys: pytest.CaptureFixture[str]):
    assert 0 == main(["--help"])
    out = capsys.readouterr().out
    assert "Usage: flows/etl.py [OPTIONS] COMMAND [ARGS]..." in out
    for option in (
        "--config",
        "--source",
        "--mode",
        "--scale",
        "--path",
        "--seed",
        "--strategy",
        "--log-file",
        "config ",
    ):
        assert f"  {option}" in out
