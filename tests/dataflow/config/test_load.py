from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from dataflow.config import Duration, PipelineConfig, PositiveDuration, RuleConfig, SourceConfig, load, parse_duration
from dataflow.errors import ConfigError
from dataflow.model.secrets import redacted

PLAIN = """\
pipeline: shop
lake: ../lake
sources:
  orders:
    type: file
    path: orders/*.csv
    columns: [id, at]
stages:
  clean:
    function: shop:clean
    gate:
      - {name: known, predicate: id IS NOT NULL}
    window:
      window_size: 1 day
run:
  threads: 4
"""


def write(folder: Path, text: str = PLAIN, name: str = "shop.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str = PLAIN, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), **options)  # type: ignore[arg-type]
    return str(caught.value).replace(f"{folder}/", "")


def changed(old: str, new: str) -> str:
    assert old in PLAIN
    return PLAIN.replace(old, new)


def test_a_file_becomes_frozen_models(tmp_path: Path):
    config = load(write(tmp_path))
    assert "shop" == config.pipeline
    assert timedelta(days=1) == config.stages["clean"].window.window_size  # type: ignore[union-attr]
    assert RuleConfig(name="known", predicate="id IS NOT NULL") == config.stages["clean"].gate[0]
    assert 4 == config.run.threads
    with pytest.raises(ValidationError):
        config.pipeline = "other"  # type: ignore[misc]


def test_relative_paths_count_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "config").mkdir()
    path = write(tmp_path / "config")
    monkeypatch.chdir("/")
    config = load(path)
    assert str(tmp_path / "lake") == config.lake
    assert str(tmp_path / "config/orders/*.csv") == config.sources["orders"].options["path"]


@pytest.mark.parametrize("lake", ["s3://bucket/lake", "/srv/lake"])
def test_absolute_paths_and_uris_stay(tmp_path: Path, lake: str):
    assert lake == load(write(tmp_path, changed("../lake", lake))).lake


def test_several_paths_of_a_source_all_count_from_the_folder(tmp_path: Path):
    config = load(write(tmp_path, changed("orders/*.csv", "[a.csv, s3://b/c.csv]")))
    assert [str(tmp_path / "a.csv"), "s3://b/c.csv"] == config.sources["orders"].options["path"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("path:", "paht:", "shop.yaml:6: sources.orders.paht: unknown key; did you mean 'path'?"),
        ("threads:", "thread:", "shop.yaml:16: run.thread: unknown key; did you mean 'threads'?"),
        ("stages:", "stagse:", "shop.yaml:8: stagse: unknown key; did you mean 'stages'?"),
        (
            "predicate:",
            "predicat:",
            "shop.yaml:12: stages.clean.gate.0.predicat: unknown key; did you mean 'predicate'?",
        ),
        ("window_size:", "window_sise:", "shop.yaml:14: stages.clean.window.window_sise: unknown key"),
        ("threads: 4", "threads: many", "shop.yaml:16: run.threads: a whole number is expected (found 'many')"),
        ("threads: 4", "threads: 0", "shop.yaml:16: run.threads: should be greater than or equal to 1 (found 0)"),
        ("threads: 4", "task_groups: 65", "shop.yaml:16: run.task_groups: should be less than or equal to 64"),
        ("[id, at]", "id", "shop.yaml:7: sources.orders.columns: a list is expected, as in [a, b] (found 'id')"),
        ("[id, at]", "[]", "shop.yaml:7: sources.orders.columns: may not be empty"),
        ("[id, at]", "[id, 3]", "shop.yaml:7: sources.orders.columns.1: a text is expected (found 3)"),
        ("orders/*.csv", "3", "shop.yaml:6: sources.orders.path: a text is expected, or a list is expected"),
        (
            "type: file",
            "type: fiel",
            "shop.yaml:5: sources.orders.type: unknown source type 'fiel'; did you mean 'file'?",
        ),
        ("type: file", "format: cvs", "shop.yaml:5: sources.orders.format: unknown value; did you mean 'csv'?"),
        ("type: file", "options: {}", "shop.yaml:5: sources.orders.options: write its keys flat, beside `type`"),
        ("pipeline: shop", "pipeline: My Shop", "shop.yaml:1: pipeline: small letters, digits and underscores"),
        ("pipeline: shop\n", "", "shop.yaml:1: pipeline: is missing; it is required"),
        (
            "1 day",
            "1 dya",
            "shop.yaml:14: stages.clean.window.window_size: cannot be read as a duration; write it like",
        ),
        ("1 day", "-P1D", "shop.yaml:14: stages.clean.window.window_size: must be longer than nothing"),
        ("1 day", "0 days", "shop.yaml:14: stages.clean.window.window_size: must be longer than nothing"),
        ("1 day", "90", "shop.yaml:14: stages.clean.window.window_size: a duration with its unit is expected"),
        (
            "window_size: 1 day",
            "window_size: 1 day\n      late_arrival_tolerance: -PT1H",
            "shop.yaml:15: stages.clean.window.late_arrival_tolerance: may not be negative",
        ),
        (
            "window_size: 1 day",
            "window_size: 1 day\n      time_zone: Europe/Room",
            "shop.yaml:15: stages.clean.window.time_zone: unknown time zone; did you mean 'Europe/Rome'?",
        ),
        (
            "window:\n      window_size: 1 day",
            "window: 1 day",
            "shop.yaml:13: stages.clean.window: keys with values are expected",
        ),
        (
            "window:\n      window_size: 1 day",
            "storage: {compression: snappy, compression_level: 3}",
            "shop.yaml:13: stages.clean.storage: compression_level has no meaning for snappy; leave it out",
        ),
        (
            "window:\n      window_size: 1 day",
            "storage: {compression_level: 23}",
            "shop.yaml:13: stages.clean.storage: compression_level of zstd goes from 1 to 22",
        ),
    ],
)
def test_each_mistake_is_named_with_file_line_key_and_way_out(tmp_path: Path, old: str, new: str, message: str):
    assert refusal(tmp_path, changed(old, new)).startswith(message)


def test_an_accepted_level_of_compression(tmp_path: Path):
    text = changed("window:\n      window_size: 1 day", "storage: {compression: gzip, compression_level: 9}")
    assert 9 == load(write(tmp_path, text)).stages["clean"].storage.compression_level


def test_all_mistakes_are_told_at_once(tmp_path: Path):
    text = changed("threads: 4", "threads: x").replace("path:", "paht:").replace("1 day", "soon")
    lines = [line.split(":")[1] for line in refusal(tmp_path, text).splitlines()]
    assert ["14", "16", "4", "6"] == sorted(lines)  # 4: the source lacks its path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "shop.yaml: the file is empty; it needs `pipeline` and `sources`"),
        ("- a\n", "shop.yaml:1: keys with values are expected"),
        ("a: [1\nb: 2\n", "shop.yaml:2: not valid YAML: "),
        ("a: !!python/object:os.system x\n", "shop.yaml:1: not valid YAML: could not determine a constructor"),
        ("a: \x00\n", "shop.yaml: not valid YAML: "),
        ("a: 1\nb: 2\na: 3\n", "shop.yaml:3: a: given twice, first on line 1; keep one"),
        ("a:\n  b: 1\n  c: 2\n  b: s3cret\n", "shop.yaml:4: a.b: given twice, first on line 2; keep one"),
        ("a: [{b: 1, b: 2}]\n", "shop.yaml:1: a.0.b: given twice, first on line 1; keep one"),
        ("pipeline: shop\nsources: 3\n", "shop.yaml:2: sources: keys with values are expected (found 3)"),
        ("pipeline: shop\nsources: {}\n", "shop.yaml:2: sources: may not be empty"),
        ("pipeline: shop\nsources: {a: }\n", "shop.yaml:2: sources.a: keys with values are expected"),
        ("pipeline: shop\nsources: {a: {type: 3}}\n", "shop.yaml:2: sources.a.type: a text is expected (found 3)"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text).startswith(message)


def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "latin.yaml").write_bytes("pipeline: caf\xe9".encode("latin-1"))
    for path, message in [
        (tmp_path / "none.yaml", "there is no such configuration file; name one with --config"),
        (tmp_path, "is a folder; name a YAML file in it with --config"),
        (tmp_path / "latin.yaml", "is not UTF-8 text (byte 13); save it as UTF-8"),
        (tmp_path / "latin.yaml" / "x", "cannot be read: Not a directory"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert f"{path}: {message}" == str(caught.value)


def test_files_below_the_working_directory_are_named_shortly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^none\.yaml: there is no such"):
        load(tmp_path / "none.yaml")


def test_a_merged_mapping_is_read_and_its_mistakes_are_placed_at_their_holder(tmp_path: Path):
    text = PLAIN + "stages: &again\n"
    assert "given twice" in refusal(tmp_path, text)
    merged = changed("run:\n  threads: 4\n", "") + "run: &r {threads: 3}\n"
    assert 3 == load(write(tmp_path, merged)).run.threads


# ---------------------------------------------------------------- environment


def test_variables_are_filled_in_and_typed_by_their_key(tmp_path: Path):
    text = changed("threads: 4", "threads: ${THREADS}").replace("../lake", "s3://${BUCKET}/a$${B}")
    config = load(write(tmp_path, text), env={"THREADS": "3", "BUCKET": "b"})
    assert (3, "s3://b/a${B}") == (config.run.threads, config.lake)


def test_a_missing_variable_is_named_with_its_place(tmp_path: Path):
    message = "shop.yaml:2: lake: the environment variable LAKE is not set; set it, or change the value"
    assert message == refusal(tmp_path, changed("../lake", "${LAKE}"), env={})


def test_only_plain_names_are_variables(tmp_path: Path):
    assert "only ${NAME} is understood, not ${LAKE:-x}" in refusal(tmp_path, changed("../lake", "'${LAKE:-x}'"), env={})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threads: 4", "threads: ${SECRET}"),
        ("type: file", "format: ${SECRET}"),
        ("1 day", "${SECRET}"),
        ("window_size: 1 day", "window_size: 1 day\n      time_zone: ${SECRET}"),
        ("[id, at]", "${SECRET}"),
        ("type: file", "type: ${SECRET}"),
    ],
)
def test_no_message_holds_the_value_of_a_variable(tmp_path: Path, old: str, new: str):
    message = refusal(tmp_path, changed(old, new), env={"SECRET": "hunter2"})
    assert "hunter2" not in message
    assert "${SECRET}" in message


def test_what_variables_bring_is_hidden_in_logs_where_it_tells_something(tmp_path: Path):
    text = changed("../lake", "s3://${BUCKET}/${YEAR}").replace("type: file", "storage_options: {token: '${T}'}")
    load(write(tmp_path, text), env={"BUCKET": "private-bucket", "YEAR": "2031", "T": "1234"})
    assert "a ••• in 2031, •••" == redacted("a private-bucket in 2031, 1234")


# ---------------------------------------------------------------- overrides


@pytest.mark.parametrize("overrides", [["run.threads=7"], {"run.threads": "7"}, "run.threads=7"])
def test_overrides_come_as_assignments_or_mapping(tmp_path: Path, overrides: object):
    assert 7 == load(write(tmp_path), overrides=overrides).run.threads  # type: ignore[arg-type]


def test_overrides_reach_everywhere(tmp_path: Path):
    config = load(
        write(tmp_path),
        overrides=[
            "stages.clean.gate.known.severity=warning",
            "stages.clean.gate.0.mostly=0.5",
            "stages.clean.window.window_size=6 hours",
            "stages.clean.partition_by=[at]",
            "stages.clean.retry.attempts=1",
            "sources.orders.separator=;",
            "sources.orders.columns=[a=b]",
        ],
    )
    clean = config.stages["clean"]
    rule = RuleConfig(name="known", predicate="id IS NOT NULL", severity="warning", mostly=0.5)
    assert (rule,) == clean.gate
    assert timedelta(hours=6) == clean.window.window_size  # type: ignore[union-attr]
    assert (("at",), 1) == (clean.partition_by, clean.retry.attempts)
    assert (";", ["a=b"]) == (
        config.sources["orders"].options["separator"],
        config.sources["orders"].options["columns"],
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.thread=3", "--set run.thread: unknown key; did you mean 'threads'? accepted: lease_seconds, task_groups"),
        ("run.threads=x", "--set run.threads: a whole number is expected (found 'x')"),
        ("sources.orders.paht=x", "--set sources.orders.paht: unknown key; did you mean 'path'?"),
        ("sources.ordres.path=x", "--set sources.ordres.path: unknown source 'ordres'; did you mean 'orders'?"),
        ("stages.claen.rows=any", "--set stages.claen.rows: unknown stage 'claen'; did you mean 'clean'?"),
        ("stages.clean.gate.x.mostly=1", "--set stages.clean.gate.x.mostly: unknown item of stages.clean.gate 'x'"),
        ("stages.clean.gate.1=1", "--set stages.clean.gate.1: unknown item of stages.clean.gate '1'; accepted: known"),
        ("pipeline.x=1", "--set pipeline.x: pipeline holds a value, no keys"),
        ("threads", "--set threads: write it as key=value, as in --set run.threads=4"),
        ("=4", "--set =4: write it as key=value"),
        ("run.threads=[", "--set run.threads: the value is not valid YAML; put quotes around it"),
        ("lake=${NO_SUCH_LAKE}", "--set lake: the environment variable NO_SUCH_LAKE is not set"),
    ],
)
def test_overrides_that_do_not_fit(tmp_path: Path, override: str, message: str):
    assert refusal(tmp_path, overrides=[override], env={}).startswith(message)


def test_an_override_of_an_empty_key_opens_it(tmp_path: Path):
    text = changed("run:\n  threads: 4\n", "run:\n")
    assert 3 == load(write(tmp_path, text), overrides=["run.threads=3"]).run.threads


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 day", timedelta(days=1)),
        ("6 hours", timedelta(hours=6)),
        ("90 minutes", timedelta(minutes=90)),
        ("1 day 6 hours", timedelta(days=1, hours=6)),
        ("1 Day, 30 SECONDS", timedelta(days=1, seconds=30)),
        ("1.5 hours", timedelta(minutes=90)),
        ("2 weeks", timedelta(days=14)),
        ("PT6H", timedelta(hours=6)),
        ("P1DT30M", timedelta(days=1, minutes=30)),
        (timedelta(3), timedelta(3)),
    ],
)
def test_durations_as_people_write_them(text: object, expected: timedelta):
    assert expected == parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", " ", "day", "1", "1 month", "P1M", "P1Y", "1 day ago", 5, 1.5, True, None, "9" * 30 + " days"]
)
def test_what_is_no_duration(text: object):
    with pytest.raises(ValidationError, match="write it like '1 day'"):
        TypeAdapter(Duration).validate_python(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_durations_survive_json(value: timedelta):
    adapter = TypeAdapter(Duration)
    assert value == adapter.validate_json(adapter.dump_json(value))


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_the_parts_of_a_duration_add_up(days: int, hours: int, minutes: int):
    expected = timedelta(days=days, hours=hours, minutes=minutes)
    assert expected == parse_duration(f"{days} days {hours} hours {minutes} minutes")


def test_a_duration_of_nothing_where_it_must_last():
    with pytest.raises(ValidationError, match="must be longer than nothing"):
        TypeAdapter(PositiveDuration).validate_python("0 hours")


def test_options_of_a_source_may_be_written_flat_or_apart_in_python():
    flat = SourceConfig.model_validate({"type": "file", "path": "a.csv", "retry": {"attempts": 1}})
    assert flat == SourceConfig.model_validate({"options": {"path": "a.csv"}, "retry": {"attempts": 1}})
    assert flat == SourceConfig.model_validate(flat.model_dump())


def test_a_pipeline_survives_json(tmp_path: Path):
    config = load(write(tmp_path))
    assert config == PipelineConfig.model_validate_json(config.model_dump_json())


def test_options_that_are_no_mapping():
    with pytest.raises(ValidationError):
        SourceConfig.model_validate({"options": 3})
    with pytest.raises(ValidationError):
        SourceConfig.model_validate(3)
