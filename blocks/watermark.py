"""The block that shows how far a pipeline has read one of its sources."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar, Self

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from dataflow.model import digest


class Watermark(Block):
    """How far a pipeline has read one of its sources: a mirror of the journal in the lake.

    The digest is of the other fields as a run last wrote them, so that an edit by hand shows. An edited position is
    what a person wishes: the next run goes back to it, and reads again what lies beyond.

    Example:
        Load a stored watermark:
        ```python
        from blocks import Watermark

        watermark = Watermark.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Watermark"
    _block_type_slug: ClassVar[str | None] = "watermark"
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")

    pipeline: str = Field(description="The pipeline that reads the source.")
    source: str = Field(description="The source that is read.")
    lake: str = Field(description="URI of the lake whose journal this mirrors.")
    position: dict[str, Any] = Field(
        default_factory=dict,
        description="Up to where the source is read; edit it, and the next run goes back to it: {} for the beginning.",
    )
    batch_id: str | None = Field(default=None, description="The last batch published from the source.")
    event_time: datetime | None = Field(default=None, description="Windows take rows older than this for late, in UTC.")
    epoch: int = Field(default=0, description="How often the source was moved back; counted by runs.")
    digest: str = Field(default="", description="Digests of the other fields when a run last wrote them.")

    @classmethod
    def of(cls, pipeline: str, source: str, lake: str, mark: dict[str, Any]) -> Self:
        """The block that mirrors the journal's ``mark`` of a source, with its digest."""
        block = cls(pipeline=pipeline, source=source, lake=lake, **mark)
        block.digest = block.digest_now
        return block

    @property
    def digest_now(self) -> str:
        """The digest that the fields have as they are: of all but the position, and of the position."""
        return "-".join(self._digests())

    @property
    def intact(self) -> bool:
        """Whether nobody has edited the block since a run wrote it."""
        return self.digest == self.digest_now

    def edited(self, wanted: Self) -> set[str]:
        """The fields that a person has edited, if they say something else than ``wanted``, which a run would write.

        A block that runs have gone past differs too: what was not edited does not count.
        """
        rest, _, position = self.digest.partition("-")
        rest_now, position_now = self._digests()
        suspects = set[str]() if rest == rest_now else _fields() - {"position"}
        suspects |= set() if position == position_now else {"position"}
        return {name for name in suspects if getattr(self, name) != getattr(wanted, name)}

    def _digests(self) -> tuple[str, str]:
        fields = self.model_dump(mode="json", include=_fields())
        position = fields.pop("position")
        rest, place = (digest(json.dumps(part, sort_keys=True, ensure_ascii=False)) for part in (fields, position))
        return rest, place


def _fields() -> set[str]:
    return set(Watermark.model_fields) - {"digest"}
