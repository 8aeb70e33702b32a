"""``source``, ``generation`` and ``strategies``: what is selected, what that is short for, and what does not apply."""

from pathlib import Path

import pytest

from dataflow.config import Flags, PipelineConfig, all_sources, all_stages, load, load_document
from tests.dataflow.config.pipelines import EVENTS, PLAIN, changed, refusal, write


def test_the_selected_block_and_generation_make_the_source(tmp_path: Path):
    ((name, source),) = all_sources(load(write(tmp_path), env={}))
    assert ("events", "pubsub") == (name, source.type)
    assert {"scale": 100, "chaos": {"slow_rate": 0.2}, "buffer_size": 5} == source.options


def test_generation_is_inactive_where_the_source_does_not_generate(tmp_path: Path):
    ((_, source),) = all_sources(load(write(tmp_path), flags=Flags(source="file"), env={}))
    assert ("file", {"path": str(tmp_path / "landing/*.jsonl")}) == (source.type, source.options)


def test_each_enabled_strategy_is_a_stage_that_takes_the_landed_rows(tmp_path: Path):
    stages = dict(all_stages(load(write(tmp_path), env={})))
    assert ["events_bronze_append", "events_polars_merge", "counted"] == list(stages)
    merge = stages["events_polars_merge"]
    assert merge.strategy is not None
    assert (None, ("events",)) == (merge.function, merge.depends_on)
    assert ("polars_merge", {"dedup_key": ["message_id"]}) == (merge.strategy.type, merge.strategy.options)


def test_bronze_append_is_the_strategy_where_none_is_named(tmp_path: Path):
    text = "pipeline: events\nsource: {type: file, file: {path: a.csv}}\n"
    assert ["events_bronze_append"] == [name for name, _ in all_stages(load(write(tmp_path, text), env={}))]
    none = text + "strategies: {enabled: []}\n"
    assert [] == all_stages(load(write(tmp_path, none), env={}))


def test_tables_may_have_other_names_and_blocks_the_keys_of_every_stage(tmp_path: Path):
    text = """\
pipeline: events
source:
  name: landed
  type: file
  file: {path: a.csv}
  pii: [mail]
  gate: [{name: known, predicate: id IS NOT NULL}]
strategies:
  bronze_append:
    table: bronze
    retry: {attempts: 1}
    pii: []
  polars_merge: {dedup_key: [id]}
  enabled: [bronze_append, polars_merge]
"""
    config = load(write(tmp_path, text), env={})
    ((name, source),) = all_sources(config)
    assert ("landed", "known", ("mail",)) == (name, source.gate[0].name, source.pii)  # type: ignore[union-attr]
    stages = dict(all_stages(config))
    assert ["bronze", "landed_polars_merge"] == list(stages)
    assert (1, ()) == (stages["bronze"].retry.attempts, stages["bronze"].pii)
    assert ("mail",) == stages["landed_polars_merge"].pii, "what is personal when it lands is so in every table"


def test_sources_and_stages_may_stand_beside(tmp_path: Path):
    config = load(write(tmp_path, EVENTS + "sources:\n  other: {path: b.csv}\n"), env={})
    assert ["events", "other"] == [name for name, _ in all_sources(config)]


def test_a_pipeline_in_the_short_form_survives_json(tmp_path: Path):
    config = load(write(tmp_path), env={})
    again = PipelineConfig.model_validate_json(config.model_dump_json())
    assert all_stages(config) == all_stages(again)
    assert [name for name, _ in all_sources(config)] == [name for name, _ in all_sources(again)]


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (("sources", "events"), "events.yaml:3: source"),
        (("sources", "events", "buffer_size"), "events.yaml:6: source.pubsub.buffer_size"),
        (("sources", "events", "scale"), "events.yaml:10: generation.scale"),
        (("sources", "events", "gate", 0), "events.yaml:3: source.gate.0"),
        (
            ("stages", "events_polars_merge", "strategy", "dedup_key"),
            "events.yaml:16: strategies.polars_merge.dedup_key",
        ),
        (("stages", "events_polars_merge", "gate"), "events.yaml:15: strategies.polars_merge.gate"),
        (("stages", "events_bronze_append", "strategy", "type"), "events.yaml:14: strategies.enabled"),
        (("stages", "counted", "function"), "events.yaml:21: stages.counted.function"),
    ],
)
def test_places_are_those_that_were_written(tmp_path: Path, key: tuple[str | int, ...], place: str):
    assert place == load_document(write(tmp_path), env={}).document.place(*key).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # inactive blocks are checked, but may be incomplete
        ("path: landing/*.jsonl", "paht: x", "events.yaml:8: source.file.paht: unknown key; did you mean 'path'?"),
        ("write_mode: append", "write_mode: apend", "events.yaml:18: strategies.eager_dedup.write_mode: unknown value"),
        ("  file:\n", "  flie:\n", "events.yaml:7: source.flie: unknown key; did you mean 'file'?"),
        ("  eager_dedup:\n", "  eager:\n", "events.yaml:17: strategies.eager: unknown strategy; did you mean"),
        ("    path: landing/*.jsonl\n", "", ""),
        ("    write_mode: append\n", "", ""),
        # what is selected is complete
        ("buffer_size: 5", "bufer_size: 5", "events.yaml:6: source.pubsub.bufer_size: unknown key; did you mean 'buf"),
        ("buffer_size: 5", "mode: speed", "events.yaml:6: source.pubsub.mode: unknown value; accepted: chaos"),
        (
            "buffer_size: 5",
            "scale: 7",
            "events.yaml:6: source.pubsub.scale: is given by generation.scale too; keep one",
        ),
        (
            "scale: 100",
            "mode: speed",
            "events.yaml:10: generation.mode: unknown value; accepted: chaos (found 'speed'); source.type is pubsub",
        ),
        ("scale: 100", "scael: 100", "events.yaml:10: generation.scael: unknown key; did you mean 'scale'?"),
        (
            "scale: 100",
            "scale: -1",
            "events.yaml:10: generation.scale: should be greater than or equal to 0 (found -1)",
        ),
        ("slow_rate: 0.2", "slow_rate: 2", "events.yaml:12: generation.chaos.slow_rate: should be less than"),
        (
            "    dedup_key: [message_id]\n",
            "    keep: last\n",
            "events.yaml:15: strategies.polars_merge.dedup_key: is missing; it is required",
        ),
        (
            "  polars_merge:\n    dedup_key: [message_id]\n",
            "",
            "events.yaml:13: strategies.polars_merge.dedup_key: is missing; it is required",
        ),
        (
            "type: pubsub",
            "type: file\n  path: x",
            "events.yaml:5: source.path: belongs to the type: write it in the block `file`",
        ),
        ("    path: landing/*.jsonl", "    - x", "events.yaml:7: source.file: keys with values are expected"),
        ("    buffer_size: 5", "    - x", "events.yaml:5: source.pubsub: keys with values are expected"),
        (
            "type: pubsub",
            "type: file\n  schema: {a: int64}",
            "events.yaml:5: source.schema: belongs to the type: write",
        ),
        ("type: pubsub", "type: pubsbu", "events.yaml:4: source.type: unknown source type 'pubsbu'; did you mean 'pub"),
        ("type: pubsub", "type: [pubsub]", "events.yaml:4: source.type: a text is expected"),
        ("type: pubsub", "blocks: {}", "events.yaml:4: source.blocks: unknown key"),
        ("write_mode: append", "options: {}", "events.yaml:18: strategies.eager_dedup.options: write its keys flat"),
        (
            "bronze_append, ",
            "bronze, ",
            "events.yaml:14: strategies.enabled.0: unknown strategy 'bronze'; did you mean",
        ),
        ("bronze_append, ", "polars_merge, ", "events.yaml:14: strategies.enabled.1: names 'polars_merge' twice"),
        (
            "dedup_key: [message_id]",
            "dedup_key: message_id",
            "events.yaml:16: strategies.polars_merge.dedup_key: a list",
        ),
        ("dedup_key: [message_id]", "dedup_kye: [a]", "events.yaml:16: strategies.polars_merge.dedup_kye: unknown key"),
    ],
)
def test_what_is_wrong_with_blocks(tmp_path: Path, old: str, new: str, message: str):
    if message:
        assert refusal(tmp_path, changed(old, new)).startswith(message)
    else:
        load(write(tmp_path, changed(old, new)), env={})


@pytest.mark.parametrize("key", ["generation: {scale: 3}", "strategies: {enabled: []}"])
def test_what_belongs_to_a_source_needs_one(tmp_path: Path, key: str):
    name = key.split(":")[0]
    message = f"events.yaml:4: {name}: belongs to the rows of `source`, and there is none; give one"
    assert refusal(tmp_path, PLAIN + key + "\n").startswith(message)


@pytest.mark.parametrize(
    ("env", "overrides", "message"),
    [
        (
            {"DATAFLOW__GENERATION__SCALE": "3"},
            (),
            "DATAFLOW__GENERATION__SCALE: generation.scale: belongs to the rows of",
        ),
        ({}, ("strategies.enabled=[scd2]",), "--set strategies.enabled: belongs to the rows of `source`"),
    ],
)
def test_it_is_told_who_says_so(tmp_path: Path, env: dict[str, str], overrides: tuple[str, ...], message: str):
    assert refusal(tmp_path, PLAIN, env=env, overrides=overrides).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            EVENTS[EVENTS.index("source:") : EVENTS.index("generation:")],
            "source: 3\n",
            "events.yaml:3: source: keys with",
        ),
        (
            EVENTS[EVENTS.index("strategies:") : EVENTS.index("stages:")],
            "strategies: 3\n",
            "events.yaml:13: strategies: ",
        ),
        ("    dedup_key: [message_id]\n", "    - x\n", "events.yaml:15: strategies.polars_merge: keys with values are"),
        ("  scale: 100\n  chaos:\n    slow_rate: 0.2\n", "  - x\n", "events.yaml:9: generation: keys with values are"),
    ],
)
def test_blocks_that_are_none(tmp_path: Path, old: str, new: str, message: str):
    lines = refusal(tmp_path, changed(old, new)).splitlines()
    assert lines[0].startswith(message)
    assert 1 == len([line for line in lines if "polars_merge.dedup_key" not in line])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type: pubsub", "type: ${SECRET}"),
        ("enabled: [bronze_append", "enabled: ['${SECRET}'"),
        ("enabled: [bronze_append", "enabled: ['${SECRET}', '${SECRET}'"),
        ("  polars_merge:\n    dedup_key: [", "  polars_merge:\n    keep: ${SECRET}\n    dedup_key: ["),
        ("scale: 100", "scale: ${SECRET}"),
        ("buffer_size: 5", "time: ${SECRET}"),
    ],
)
def test_no_message_holds_the_value_of_a_variable(tmp_path: Path, old: str, new: str):
    message = refusal(tmp_path, changed(old, new), overrides=("source.file.path=x",), env={"SECRET": "hunter2"})
    assert "hunter2" not in message
    assert "${SECRET}" in message


def test_empty_blocks_are_blocks(tmp_path: Path):
    text = "pipeline: events\nsource:\n  type: pubsub\n  pubsub:\n  file:\ngeneration:\nstrategies:\n  bronze_append:\n"
    ((_, source),) = all_sources(load(write(tmp_path, text), env={}))
    assert ("pubsub", {}) == (source.type, source.options)


def test_a_pipeline_without_any_source(tmp_path: Path):
    message = "events.yaml:1: sources: may not be empty; a pipeline needs `source: {type: ...}`, or `sources`"
    assert refusal(tmp_path, "pipeline: shop\n").startswith(message)


def test_an_absent_path_says_where_it_may_be_given(tmp_path: Path):
    text = changed("    path: landing/*.jsonl\n", "    format: csv\n")
    message = "source.file.path: is missing; it is required; say it here, with --path, or in RAW_DATA_PATH"
    assert message in refusal(tmp_path, text, flags=Flags(source="file"))


# ---------------------------------------------------------------- what was said for one run, and would change nothing


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source.file.path=x"], "--set source.file.path: has no effect here: source.type is pubsub; leave it out"),
        (["strategies.scd2.mode=upsert"], "--set strategies.scd2.mode: has no effect here: scd2 is not among"),
        (["source.type=file", "generation.seed=3"], "--set generation.seed: has no effect here: a source of type file"),
        (
            ["source.type=polars_synthetic", "generation.mode=speed", "generation.chaos.slow_rate=0.5"],
            "--set generation.chaos.slow_rate: has no effect here: mode is speed, in which nothing goes wrong",
        ),
    ],
)
def test_overrides_without_effect_are_refused(tmp_path: Path, overrides: list[str], message: str):
    assert refusal(tmp_path, overrides=tuple(overrides)).startswith(message)


def test_in_the_file_the_same_is_inactive(tmp_path: Path):
    text = changed("scale: 100", "mode: speed").replace("type: pubsub", "type: polars_synthetic")
    ((_, source),) = all_sources(load(write(tmp_path, text), env={}))
    assert "speed" == source.options["mode"]
