"""Source types: ours, registered ones, and those of installed packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from dataflow.errors import ConfigError
from dataflow.model import Frozen
from dataflow.sources import Item, Source, register_source, source_types
from dataflow.sources.file import FileSource

MODULE = """
from dataflow.model import Frozen
from dataflow.sources import Item

class QueueConfig(Frozen):
    url: str

class QueueSource:
    Config = QueueConfig
    def __init__(self, name, config):
        self.name, self.config = name, config
    def items(self):
        return [Item(name=self.config.url, size_bytes=1, modified_at=0.0)]
"""


class Until(Frozen):
    """How far to count."""

    until: int = 3


class Numbers(Source):
    """Counts to three: the least that a source of another's can be."""

    Config: ClassVar[type[Frozen]] = Until

    def __init__(self, name: str, config: Any) -> None:
        self.until = config.until

    def items(self) -> Sequence[Item]:
        return [Item(name="numbers", size_bytes=self.until, modified_at=0.0)]

    def content_hash(self, item: Item) -> str:
        return str(self.until)

    @property
    def fingerprint(self) -> str:
        return "1"

    def contract(self, items: Sequence[Item], held: pl.Schema | None) -> pl.Schema:
        return pl.Schema({"n": pl.Int64()})

    def scan(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame:
        return pl.LazyFrame({"n": range(self.until)}).with_row_index(row_index).select(*schema, row_index)

    def verify(self, item: Item, nulls: Collection[str]) -> None:
        return None

    def salvage(self, item: Item, schema: pl.Schema, *, row_index: str) -> pl.LazyFrame | None:
        return None


class Others:
    """Something else under the same name."""

    Config: ClassVar[type[Frozen]] = Frozen


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What a test registers is forgotten after it; ours, which are registered once, stay."""
    modules, known = set(sys.modules), {*source_types._types, *source_types._ours}
    yield
    for name in {*source_types._types} - known:
        del source_types._types[name]
    for name in set(sys.modules) - modules:
        if name.startswith("queue_source"):
            del sys.modules[name]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Installs a tiny package with an entry point, as pip would."""

    def write(module: str, entry_point: str) -> None:
        (tmp_path / "queue_source.py").write_text(module)
        info = tmp_path / "queue_source-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: queue-source\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[dataflow.sources]\n{entry_point}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


def test_ours_are_there_without_an_import() -> None:
    assert FileSource is source_types.find("file")
    assert "file" in source_types.names


def test_a_registered_class_is_found_and_works() -> None:
    assert Numbers is register_source("numbers")(Numbers)
    kind = source_types.find("numbers")
    made = kind("n", kind.Config.model_validate({"until": 2}))

    assert "numbers" in source_types.names
    assert [(0, 0), (1, 1)] == made.scan(made.items()[0], pl.Schema({"n": pl.Int64()}), row_index="i").collect().rows()


def test_registering_a_class_again_is_fine_another_is_not() -> None:
    register_source("numbers")(Numbers)
    register_source("numbers")(Numbers)

    with pytest.raises(
        ConfigError,
        match=r"source type 'numbers' is registered twice: by .*test_registry\.Numbers and by .*test_registry\.Others; rename one",
    ):
        register_source("numbers")(Others)  # pyright: ignore[reportArgumentType]


def test_an_unknown_type_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"unknown source type 'fiel'; did you mean 'file'\?.* accepted: .*file"):
        source_types.find("fiel")


def test_a_type_of_an_installed_package_is_found_by_its_entry_point(install: Callable[[str, str], None]) -> None:
    install(MODULE, "queue = queue_source:QueueSource")

    assert "queue" in source_types.names
    kind = source_types.find("queue")
    assert ("queue_source", "nats://x") == (
        kind.__module__,
        kind("q", kind.Config.model_validate({"url": "nats://x"})).items()[0].name,
    )
    assert kind is source_types.find("queue")


def test_a_package_may_register_its_type_itself_too(install: Callable[[str, str], None]) -> None:
    decorated = MODULE.replace(
        "class QueueSource",
        "from dataflow.sources import register_source\n@register_source('queue')\nclass QueueSource",
    )
    install(decorated, "queue = queue_source:QueueSource")

    assert "QueueSource" == source_types.find("queue").__qualname__


@pytest.mark.parametrize(
    ("module", "entry_point", "says"),
    [
        (
            "import nowhere_to_be_found",
            "queue = queue_source:QueueSource",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        (MODULE, "queue = queue_source:Missing", "AttributeError"),
        ("1 / 0", "queue = queue_source:QueueSource", "ZeroDivisionError"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(
    install: Callable[[str, str], None], module: str, entry_point: str, says: str
) -> None:
    install(module, entry_point)

    assert "queue" in source_types.names
    with pytest.raises(
        ConfigError,
        match=rf"source type 'queue': queue_source:\w+ cannot be imported: {says}.*mend or remove the package",
    ):
        source_types.find("queue")
