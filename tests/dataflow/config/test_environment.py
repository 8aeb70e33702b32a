"""Variables of the process and of ``.env``, and what goes before what."""

import re
from pathlib import Path

import pytest

from dataflow.config import Environment, Flags, load, load_document
from dataflow.errors import ConfigError
from dataflow.model.secrets import redacted
from tests.dataflow.config.pipelines import EVENTS, PLAIN, changed, refusal, write

ROOT = Path(__file__).resolve().parents[3]
NO_FLAGS = Flags()


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, beside the folder of the configuration."""
    (tmp_path / "work").mkdir()
    (tmp_path / "config").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("RAW_DATA_PATH", "DELTA_TABLE_PATH", "LOG_LEVEL", "LOG_FORMAT", "PIPELINE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_default_gives_way_to_the_file_to_env_files_to_the_process_to_flags(
    clean: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(clean, changed("scale: 100\n  ", ""), "config/events.yaml")

    def scale(flags: Flags = NO_FLAGS) -> tuple[object, str]:
        loaded = load_document(path, flags=flags)
        assert loaded.config.generation is not None
        return loaded.config.generation.scale, str(loaded.document.origin("generation", "scale"))

    assert 100_000 == scale()[0]
    write(clean, EVENTS, "config/events.yaml")
    assert (100, f"{clean}/config/events.yaml:10") == scale()
    (clean / "config" / ".env").write_text("DATAFLOW__GENERATION__SCALE=1\n")
    assert (1, f"{clean}/config/.env: DATAFLOW__GENERATION__SCALE") == scale()
    (clean / "work" / ".env").write_text("DATAFLOW__GENERATION__SCALE=2\n")
    assert (2, ".env: DATAFLOW__GENERATION__SCALE") == scale()
    monkeypatch.setenv("DATAFLOW__GENERATION__SCALE", "3")
    assert (3, "DATAFLOW__GENERATION__SCALE") == scale()
    assert (4, "--scale") == scale(Flags(scale=4))
    loaded = load_document(path, flags=Flags(scale=4), overrides=["generation.scale=5"])
    assert (5, "--set") == (loaded.config.generation.scale, str(loaded.document.origin("generation", "scale")))  # type: ignore[union-attr]


def test_a_variable_of_the_process_wins_over_the_same_one_of_a_file_also_for_references(
    clean: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(clean, changed("lake: lake", "lake: s3://${BUCKET}/${FOLDER}"), "config/events.yaml")
    (clean / "work" / ".env").write_text("BUCKET=file\nFOLDER=folder\n")
    monkeypatch.setenv("BUCKET", "process")
    assert "s3://process/folder" == load(path).lake


def test_paths_of_variables_count_from_the_working_directory_or_their_file(
    clean: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(clean, changed("    path: landing/*.jsonl\n", "    format: jsonl\n"), "config/events.yaml")
    (clean / "config" / ".env").write_text("DELTA_TABLE_PATH=kept\nRAW_DATA_PATH=raw/*.jsonl\n")
    config = load(path, flags=Flags(source="file"))
    assert config.source is not None
    assert str(clean / "config" / "kept") == config.lake
    assert str(clean / "config" / "raw/*.jsonl") == config.source.blocks["file"]["path"]
    monkeypatch.setenv("DELTA_TABLE_PATH", "kept")
    assert str(clean / "work" / "kept") == load(path).lake
    monkeypatch.setenv("DELTA_TABLE_PATH", "s3://bucket/lake")
    assert "s3://bucket/lake" == load(path).lake


def test_raw_data_is_where_file_sources_look_that_have_no_path(tmp_path: Path):
    text = "pipeline: shop\nsources:\n  a: {path: own}\n  b: {}\n  c: {type: file}\n  d: {type: pubsub}\n"
    config = load(write(tmp_path, text), env={"RAW_DATA_PATH": "/raw"})
    paths = {name: source.options.get("path") for name, source in config.sources.items()}
    assert {"a": str(tmp_path / "own"), "b": "/raw", "c": "/raw", "d": None} == paths


def test_raw_data_is_a_default_and_as_such_without_effect_elsewhere(tmp_path: Path):
    config = load(write(tmp_path), flags=Flags(source="file"), env={"RAW_DATA_PATH": "/raw"})
    assert config.source is not None
    assert str(tmp_path / "landing/*.jsonl") == config.source.blocks["file"]["path"]
    assert load(write(tmp_path, PLAIN), env={"RAW_DATA_PATH": "/raw"}) == load(write(tmp_path, PLAIN), env={})


def test_logging_takes_its_variables_in_small_letters_too(tmp_path: Path):
    logging = load(write(tmp_path), env={"LOG_LEVEL": "debug", "LOG_FORMAT": "json"}).logging
    assert ("DEBUG", "json") == (logging.level, logging.format)
    assert None is load(write(tmp_path), env={"LOG_LEVEL": ""}).logging.level


def test_any_key_can_be_set_at_any_depth_and_is_read_as_yaml(tmp_path: Path):
    env = {
        "DATAFLOW__RUN__THREADS": "7",
        "DATAFLOW__STRATEGIES__ENABLED": "[scd2]",
        "DATAFLOW__STRATEGIES__SCD2": "{key: [message_id], effective_at: event_time}",
        "DATAFLOW__STRATEGIES__SCD2__MODE": "snapshot",
        "DATAFLOW__SOURCES__ORDERS__STORAGE_OPTIONS__AWS_REGION": "eu-south-1",
        "DATAFLOW__STAGES": "{}",
        "DATAFLOW__LAKE": " ",
        "dataflow__run__threads": "8",
    }
    text = EVENTS + "sources:\n  orders: {path: a.csv, storage_options: {AWS_REGION: x}}\n"
    config = load(write(tmp_path, text), env=env)
    assert config.strategies is not None
    assert (7, ("scd2",), {}) == (config.run.threads, config.strategies.enabled, config.stages)
    assert {"key": ["message_id"], "effective_at": "event_time", "mode": "snapshot"} == config.strategies.blocks[
        "scd2"
    ].options
    assert {"AWS_REGION": "eu-south-1"} == config.sources["orders"].options["storage_options"]
    assert str(tmp_path / "lake") == config.lake


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"DATAFLOW__RUN__THREDS": "1"}, "DATAFLOW__RUN__THREDS: run.threds: unknown key; did you mean 'threads'?"),
        (
            {"DATAFLOW__RUN__THREADS": "x"},
            "DATAFLOW__RUN__THREADS: run.threads: a whole number is expected (found 'x')",
        ),
        ({"DATAFLOW__RNU": "1"}, "DATAFLOW__RNU: rnu: unknown key; did you mean 'run'?"),
        (
            {"DATAFLOW__STAGES__COUNTD__RETRY__ATTEMPTS": "1"},
            "DATAFLOW__STAGES__COUNTD__RETRY__ATTEMPTS: unknown stage 'countd'; did you mean 'counted'?",
        ),
        ({"DATAFLOW__PIPELINE__X": "1"}, "DATAFLOW__PIPELINE__X: pipeline holds a value, no keys"),
        ({"DATAFLOW__LAKE": "[s3cret"}, "DATAFLOW__LAKE: the value is not valid YAML; put quotes around it"),
        ({"DATAFLOW____LAKE": "x"}, "DATAFLOW____LAKE: write it as DATAFLOW__SECTION__KEY"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: logging.level: unknown value; accepted: DEBUG, ERROR, INFO, WARNING"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: logging.format: unknown value; accepted: json, text"),
        (
            {"DATAFLOW__SOURCE__TYPE": "file", "DATAFLOW__GENERATION__SCALE": "3"},
            "DATAFLOW__GENERATION__SCALE: generation.scale: has no effect here: a source of type file does not make",
        ),
        (
            {"DATAFLOW__STRATEGIES__EAGER_DEDUP__WRITE_MODE": "overwrite"},
            "DATAFLOW__STRATEGIES__EAGER_DEDUP__WRITE_MODE: strategies.eager_dedup.write_mode: has no effect here: "
            "eager_dedup is not among strategies.enabled",
        ),
    ],
)
def test_variables_that_do_not_fit_are_named(tmp_path: Path, env: dict[str, str], message: str):
    assert refusal(tmp_path, env=env).startswith(message)


def test_a_secret_in_a_variable_is_not_quoted(tmp_path: Path):
    text = PLAIN.replace("orders/*.csv}", "orders/*.csv, storage_options: {}}")
    env = {"DATAFLOW__SOURCES__ORDERS__STORAGE_OPTIONS__SECRET_ACCESS_KEY": "31337"}
    message = refusal(tmp_path, text, env=env)
    assert "31337" not in message
    assert "storage_options.secret_access_key: a text is expected" in message
    assert "31337" not in redacted("31337 was refused")


def test_an_env_file_that_cannot_be_read_is_named(clean: Path):
    (clean / "work" / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match=r"^\.env: cannot be read: .*; mend the file, or remove it$"):
        Environment.of_process()


def test_a_line_of_an_env_file_that_says_nothing_is_named_and_not_quoted(clean: Path):
    (clean / "work" / ".env").write_text("# a comment\nexport LOG_FORMAT=json\nhunter 2\n")
    with pytest.raises(ConfigError, match=r"^\.env:3: is no NAME=value; mend the line, or remove it$"):
        load(write(clean, EVENTS, "config/events.yaml"))
    (clean / "work" / ".env").write_text("# a comment\nexport LOG_FORMAT='json' # another\nPASSED\n")
    assert "json" == load(clean / "config" / "events.yaml").logging.format


@pytest.mark.parametrize("name", [".env.example", ".envrc.example"])
def test_the_examples_name_variables_that_count(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    found = {name: value.strip('"') for name, value in re.findall(r"^#? ?(?:export )?([A-Z_]+)=(\S+)", text, re.M)}
    assert {"PIPELINE_CONFIG", "RAW_DATA_PATH", "DELTA_TABLE_PATH"} <= found.keys()
    assert found.keys() - {"PIPELINE_CONFIG", "RAW_DATA_PATH"} <= {
        setting.origin.name for setting in Environment(found).settings()
    }
    assert load(ROOT / found["PIPELINE_CONFIG"], env=found).pipeline


def test_no_env_file_is_read_where_the_environment_is_given(clean: Path):
    (clean / "work" / ".env").write_text("DELTA_TABLE_PATH=elsewhere\n")
    assert str(clean / "config" / "lake") == load(write(clean, EVENTS, "config/events.yaml"), env={}).lake
