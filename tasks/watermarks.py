"""Watermark blocks: the journal's positions, mirrored where Prefect's users look for them."""

from __future__ import annotations

from collections.abc import Mapping

from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from pydantic import ValidationError

from blocks import Watermark
from dataflow.engine.runner import RunContext
from dataflow.errors import ConfigError
from tasks.naming import slug

logger = get_logger("prefect.dataflow")


def mirror(run: RunContext, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Bring the run's watermark blocks up to the journal; answer their digests by name.

    Before a run nothing is known and every block is looked at: an edited one stops the run.
    Afterwards only the blocks whose watermark moved are written, and an edited one is left alone
    with a warning. What Prefect does not take costs a warning only: the lake is the truth.

    Errors: ConfigError for a block that a person edited, or that belongs to another pipeline.
    """
    settled: dict[str, str] = {}
    for source, mark in run.watermarks().items():
        wanted = Watermark.of(run.pipeline, source, run.lake_uri, mark)
        name = slug(run.pipeline, source)
        try:
            if known is None or known.get(name) != wanted.digest:
                settle(name, wanted)
            settled[name] = wanted.digest
        except ConfigError as error:
            if known is None:
                raise
            logger.warning("%s", error)
        except Exception as error:
            logger.warning("The block watermark/%s could not be brought up to date: %s", name, error)
    return settled


def settle(name: str, wanted: Watermark) -> bool:
    """Make the block ``name`` say what is wanted; answer whether it had to be written."""
    stored = stored_watermark(name)
    if stored is not None:
        if not stored.intact:
            raise edited(name)
        if (stored.pipeline, stored.source) != (wanted.pipeline, wanted.source):
            raise ConfigError(
                f"the Prefect block watermark/{name} belongs to source {stored.source!r} of pipeline "
                f"{stored.pipeline!r}, whose name reads the same as source {wanted.source!r} of "
                f"{wanted.pipeline!r}: rename one of them",
                block=name,
            )
        if stored.digest == wanted.digest:
            return False
    wanted.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]
    return True


def stored_watermark(name: str) -> Watermark | None:
    """The block as Prefect has it; None where there is none.

    Errors: ConfigError for one that no longer reads as a watermark.
    """
    try:
        return Watermark.load(name, _sync=True)  # type: ignore[call-arg, return-value]
    except RuntimeError as error:
        if isinstance(error.__cause__, ValidationError):
            raise edited(name) from error
        raise
    except ValueError as error:
        if isinstance(error.__cause__, ObjectNotFound):
            return None
        raise


def edited(name: str) -> ConfigError:
    """The error for a block that a person edited."""
    return ConfigError(
        f"the Prefect block watermark/{name} was edited by hand: its digest is not that of its content. "
        "Editing a watermark does not move the pipeline yet: restore the block, or delete it "
        f"(`uv run prefect block delete watermark/{name}`) and the next run writes it anew from the lake; "
        "to read a source again from its beginning, run with --full",
        block=name,
    )
