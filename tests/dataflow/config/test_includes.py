"""``config_file``: a block whose keys stand in a file of their own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.config import load, load_document
from dataflow.config.includes import read_document
from dataflow.errors import ConfigError
from tests.dataflow.config.pipelines import EVENTS, changed, refusal, write

INCLUDING = changed("    buffer_size: 5\n", "    config_file: sources/pubsub.yaml\n")


def test_the_keys_of_an_included_file_stand_in_the_place_of_its_block(tmp_path: Path):
    write(tmp_path, "buffer_size: 5\n", "sources/pubsub.yaml")
    whole, included = load(write(tmp_path, EVENTS), env={}), load(write(tmp_path, INCLUDING), env={})
    assert whole == included


def test_keys_beside_it_win_key_by_key(tmp_path: Path):
    write(tmp_path, "a: 1\nb: {c: 2, d: [3]}\ne: {f: 4}\n", "part.yaml")
    path = write(tmp_path, "b: {c: 5, d: [6, 7]}\nconfig_file: part.yaml\ne: 8\n", "whole.yaml")
    document = read_document(path)
    assert {"a": 1, "b": {"c": 5, "d": [6, 7]}, "e": 8} == document.values
    said = {key: document.place(*key).replace(f"{tmp_path}/", "") for key in [("a",), ("b", "c"), ("b", "d"), ("e",)]}
    assert {
        ("a",): "part.yaml:1: a",
        ("b", "c"): "whole.yaml:1: b.c",
        ("b", "d"): "whole.yaml:1: b.d",
        ("e",): "whole.yaml:3: e",
    } == said
    assert ("e", "f") not in document.origins


def test_an_included_file_includes_others_which_count_from_its_folder(tmp_path: Path):
    write(tmp_path, "config_file: parts/one.yaml\n", "whole.yaml")
    write(tmp_path, "config_file: deeper/two.yaml\na: 1\n", "parts/one.yaml")
    write(tmp_path, "a: 0\nb: 2\n", "parts/deeper/two.yaml")
    assert {"a": 1, "b": 2} == read_document(tmp_path / "whole.yaml").values


def test_mistakes_are_placed_in_the_included_file(tmp_path: Path):
    write(tmp_path, "buffer_size: 5\nbufer: 1\n", "sources/pubsub.yaml")
    assert refusal(tmp_path, INCLUDING).startswith("sources/pubsub.yaml:2: source.pubsub.bufer: unknown key")


def test_a_missing_key_is_placed_where_the_file_is_included(tmp_path: Path):
    write(tmp_path, "sort_by: [value]\n", "merge.yaml")
    text = changed("    dedup_key: [message_id]\n", "    config_file: merge.yaml\n")
    assert "events.yaml:15: strategies.polars_merge.dedup_key: is missing; it is required" == refusal(tmp_path, text)


def test_paths_count_from_the_file_that_says_them(tmp_path: Path):
    write(tmp_path, "path: landing/*.jsonl\n", "sources/file.yaml")
    text = changed("    path: landing/*.jsonl\n", "    config_file: sources/file.yaml\n")
    config = load(write(tmp_path, text), env={})
    assert config.source is not None
    assert {"path": str(tmp_path / "sources/landing/*.jsonl")} == config.source.blocks["file"]
    chosen = ["source.type=file", "source.file.path=landing/*.csv"]
    config = load(tmp_path / "events.yaml", env={}, overrides=chosen)
    assert config.source is not None
    assert {"path": str(tmp_path / "landing/*.csv")} == config.source.blocks["file"]


def test_the_suite_of_a_gate_counts_from_its_file(tmp_path: Path):
    write(tmp_path, "gate: [{suite: checks.json}]\n", "gates/landed.yaml")
    text = changed("  type: pubsub\n", "  type: pubsub\n  config_file: gates/landed.yaml\n")
    config = load(write(tmp_path, text), env={})
    assert config.source is not None
    assert str(tmp_path / "gates/checks.json") == config.source.gate[0].suite  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"events.yaml": "pipeline: x\nsource:\n  config_file: none.yaml\n"},
            "events.yaml:3: source.config_file: there is no file none.yaml (events.yaml > none.yaml); mend the path",
        ),
        (
            {"events.yaml": "config_file: a.yaml\n", "a.yaml": "b:\n  config_file: sub/b.yaml\n"},
            "a.yaml:2: b.config_file: there is no file sub/b.yaml (events.yaml > a.yaml > sub/b.yaml)",
        ),
        (
            {"events.yaml": "config_file: a.yaml\n", "a.yaml": "x: 1\nb:\n  config_file: events.yaml\n"},
            "a.yaml:3: b.config_file: the file includes itself (events.yaml > a.yaml > events.yaml); leave one",
        ),
        (
            {"events.yaml": "config_file: ./events.yaml\n"},
            "events.yaml:1: config_file: the file includes itself (events.yaml > events.yaml)",
        ),
        ({"events.yaml": "config_file: [a.yaml]\n"}, "events.yaml:1: config_file: the path of a YAML file is expected"),
        ({"events.yaml": "config_file:\n"}, "events.yaml:1: config_file: the path of a YAML file is expected"),
        (
            {"events.yaml": "config_file: ${WHERE}/a.yaml\n"},
            "events.yaml:1: config_file: files are included before variables are known",
        ),
        ({"events.yaml": "b: {config_file: a.yaml}\n", "a.yaml": ""}, "a.yaml: the file is empty; it needs keys"),
        ({"events.yaml": "b: {config_file: a.yaml}\n", "a.yaml": "- 1\n"}, "a.yaml:1: keys with values are expected"),
        ({"events.yaml": "b: {config_file: a.yaml}\n", "a.yaml": "c: 1\nc: 2\n"}, "a.yaml:2: c: given twice"),
        ({"events.yaml": "a: &a {b: *a}\n"}, "events.yaml: not valid YAML: an alias leads back to itself"),
    ],
)
def test_files_that_cannot_be_included(tmp_path: Path, files: dict[str, str], message: str):
    for name, text in files.items():
        write(tmp_path, text, name)
    with pytest.raises(ConfigError) as caught:
        read_document(tmp_path / "events.yaml")
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(message)


@pytest.mark.parametrize(
    ("override", "env", "said"),
    [
        (["source.file.config_file=x.yaml"], {}, "--set source.file.config_file"),
        ([], {"DATAFLOW__SOURCE__FILE__CONFIG_FILE": "x.yaml"}, "DATAFLOW__SOURCE__FILE__CONFIG_FILE"),
    ],
)
def test_a_run_does_not_change_what_is_included(tmp_path: Path, override: list[str], env: dict[str, str], said: str):
    message = f"{said}: config_file is read together with the file that says it; change it there, or take another"
    assert refusal(tmp_path, overrides=tuple(override), env=env).startswith(message)


VALUES = st.recursive(
    st.integers() | st.text("ab ", max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
BLOCKS = st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1, max_size=4)


def parted(block: dict[str, Any], choose: Callable[[], int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The block's keys in two, some of them in both: there the second says it right."""
    below: dict[str, Any] = {}
    above: dict[str, Any] = {}
    for key, value in block.items():
        match choose():
            case 0 if not isinstance(value, dict):
                below[key], above[key] = "another", value
            case 1:
                below[key] = value
            case 2 if isinstance(value, dict) and value:
                below[key], above[key] = parted(value, choose)
            case _:
                above[key] = value
    return below, above


@settings(max_examples=50, deadline=None)
@given(BLOCKS, st.randoms(use_true_random=False))
def test_a_block_may_be_cut_in_two_anywhere(tmp_path_factory: Any, block: dict[str, Any], random: Any):
    folder = tmp_path_factory.mktemp("parts")
    below, above = parted(block, lambda: random.randrange(4))
    (folder / "below.yaml").write_text(json.dumps(below or {"unused": {}}))
    (folder / "whole.yaml").write_text(json.dumps({"config_file": "below.yaml", **above}))
    document = read_document(folder / "whole.yaml")
    assert {**({} if below else {"unused": {}}), **block} == document.values
    for key, value in above.items():
        if not isinstance(value, dict):
            assert "whole.yaml:1" == str(document.origin(key)).rpartition("/")[2]


def test_a_key_of_ones_own_may_be_called_config_file(tmp_path: Path):
    text = """\
pipeline: shop
sources:
  orders:
    path: orders
    schema: {config_file: string}
  arguments:
    config_file: part.yaml
"""
    write(tmp_path, "path: elsewhere\n", "part.yaml")
    loaded = load_document(write(tmp_path, text), env={})
    assert {"config_file": "string"} == loaded.config.sources["orders"].options["schema"]
    assert str(tmp_path / "elsewhere") == loaded.config.sources["arguments"].options["path"]
