"""Options of the command line that stand for keys."""

from pathlib import Path

import pytest

from dataflow.config import Flags, all_sources, load, load_document
from tests.dataflow.config.pipelines import EVENTS, PLAIN, changed, refusal, write


def test_flags_reach_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    flags = Flags(
        source="polars_synthetic",
        mode="speed",
        scale=3,
        seed=4,
        strategy=("polars_merge", "bronze_append"),
        lake="kept",
        log_level="info",
        log_format="json",
        log_file="run.log",
    )
    loaded = load_document(write(tmp_path), flags=flags, env={"LOG_LEVEL": "DEBUG", "DELTA_TABLE_PATH": "x"})
    config = loaded.config
    ((_, source),) = all_sources(config)
    assert ("polars_synthetic", "speed", 3, 4) == (
        source.type,
        source.options["mode"],
        source.options["scale"],
        source.options["seed"],
    )
    assert config.strategies is not None
    assert ("polars_merge", "bronze_append") == config.strategies.enabled
    assert str(tmp_path / "kept") == config.lake
    logs = (config.logging.level, config.logging.format, config.logging.file)
    assert ("INFO", "json", str(tmp_path / "run.log")) == logs
    said = [("source", "type"), ("generation", "scale"), ("strategies", "enabled"), ("logging", "file")]
    assert ["--source", "--scale", "--strategy", "--log-file"] == [str(loaded.document.origin(*key)) for key in said]


def test_paths_of_the_command_line_count_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    for given, expected in [
        (("landing/*.csv",), str(tmp_path / "landing/*.csv")),
        (("a.csv", "s3://b/c.csv"), [str(tmp_path / "a.csv"), "s3://b/c.csv"]),
    ]:
        ((_, source),) = all_sources(load(path, flags=Flags(source="file", path=given), env={}))
        assert expected == source.options["path"]


def test_a_flag_means_the_block_that_says_its_key(tmp_path: Path):
    text = changed("buffer_size: 5", "scale: 5").replace("  scale: 100\n", "")
    ((_, source),) = all_sources(load(write(tmp_path, text), flags=Flags(scale=3), env={}))
    assert 3 == source.options["scale"]


def test_the_source_of_a_variable_is_the_one_that_a_path_is_for(tmp_path: Path):
    text = changed("type: pubsub", "type: ${KIND}")
    ((_, source),) = all_sources(load(write(tmp_path, text), flags=Flags(path=("/x",)), env={"KIND": "file"}))
    assert "/x" == source.options["path"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            Flags(mode="speed"),
            "--mode: generation.mode: unknown value; accepted: chaos (found 'speed'); source.type is pub",
        ),
        (
            Flags(mode="fast", source="polars_synthetic"),
            "--mode: generation.mode: unknown value; accepted: chaos, speed",
        ),
        (
            Flags(scale=3, source="file"),
            "--scale: generation.scale: has no effect here: a source of type file does not",
        ),
        (Flags(scale=-1), "--scale: generation.scale: should be greater than or equal to 0"),
        (Flags(path=("x",)), "--path: a source of type pubsub reads no files; leave --path out, or add --source file"),
        (Flags(source="flie"), "--source: source.type: unknown source type 'flie'; did you mean 'file'?"),
        (Flags(source="flie", path=("x",)), "--source: source.type: unknown source type 'flie'; did you mean 'file'?"),
        (Flags(strategy=("scd",)), "--strategy: strategies.enabled.0: unknown strategy 'scd'; did you mean 'scd2'?"),
        (Flags(strategy=("scd2",)), "events.yaml:13: strategies.scd2.key: is missing; it is required"),
        (Flags(log_level="loud"), "--log-level: logging.level: unknown value; accepted: DEBUG, ERROR, INFO, WARNING"),
        (Flags(lake=""), "--lake is empty; name a folder or URI, or leave it out"),
        (Flags(log_file=" "), "--log-file is empty; name a file, or leave it out"),
        (Flags(source="file", path=("",)), "--path is empty; name a file, folder or glob, or leave it out"),
    ],
)
def test_flags_that_do_not_fit(tmp_path: Path, flags: Flags, message: str):
    assert refusal(tmp_path, EVENTS, flags=flags).startswith(message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            Flags(scale=3),
            "--scale has no meaning for events.yaml, which has `sources` and no `source`; leave it out, or ",
        ),
        (Flags(source="pubsub", mode="chaos"), "--source and --mode have no meaning for events.yaml"),
        (Flags(strategy=("scd2",)), "--strategy has no meaning for events.yaml"),
    ],
)
def test_flags_that_need_a_source_say_what_has_one(tmp_path: Path, flags: Flags, message: str):
    told = refusal(tmp_path, PLAIN, flags=flags)
    assert told.startswith(message)
    assert told.endswith("or take a configuration with a `source`, as in --config config/events.yaml")
