"""Watermark blocks: the journal's positions, mirrored where Prefect's users look for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger
from pydantic import ValidationError

from blocks import Watermark
from blocks.storing import store
from dataflow.engine.positions import Wish
from dataflow.engine.runner import RunContext
from dataflow.errors import ConfigError, DataFlowError
from dataflow.lake.seams import Seam, reach
from tasks.naming import slug
from tasks.patience import lose_patience, warn

logger = get_logger("prefect.dataflow")


def mirror(run: RunContext, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Bring the run's watermark blocks up to the journal; answer their digests by name.

    Before a run nothing is known and every block is looked at: the position that a person wrote into one is told to
    the run, which grants it. Afterwards only the blocks whose watermark moved are written, and one that was edited
    meanwhile is left to the next run with a warning. What Prefect does not take costs a warning only: the lake is the
    truth.

    Errors: ConfigError for a block in which a person edited anything else, or that belongs to another pipeline.
    """
    settled: dict[str, str] = {}
    failed: dict[str, Exception] = {}
    for source, mark in _marks(run, over=known is not None).items():
        granted = mark.get("wish", "")
        wanted = _wanted(run.pipeline, source, run.lake_uri, mark)
        name = slug(run.pipeline, source)
        try:
            wish = settle(name, wanted, granted) if known is None or known.get(name) != wanted.digest else None
            if wish is None:
                settled[name] = wanted.digest
            elif known is None:
                run.wish(wish)
            else:
                logger.warning("%s meanwhile; the next run goes by it", wish.place)
        except ConfigError as error:
            if known is None:
                raise
            logger.warning("%s", error)
        except Exception as error:
            lose_patience(error)
            failed[name] = error
    warn("The block watermark/{} could not be brought up to date", failed)
    return settled


def _wanted(pipeline: str, source: str, lake: str, mark: Mapping[str, Any]) -> Watermark:
    return Watermark.of(pipeline, source, lake, {k: v for k, v in mark.items() if k != "wish"})


def wished(
    client: SyncPrefectClient, pipeline: str, sources: Collection[str], marks: Callable[[], tuple[str, dict[str, Any]]]
) -> Wish | None:
    """The first position that a person has written into a block of the pipeline, and no run has granted; touches nothing.

    ``marks`` tells the lake and the journal's watermarks; it is called only where a block was edited.
    Errors: ConfigError for a block that no run would obey.
    """
    for source in sources:
        name = slug(pipeline, source)
        stored = read_watermark(client, name)
        if stored is None or stored.intact:
            continue
        lake, known = marks()
        mark = known.get(source)
        if mark is None or (stored.pipeline, stored.source) != (pipeline, source):
            continue
        if (wish := _asked(name, stored, _wanted(pipeline, source, lake, mark), mark.get("wish", ""))) is not None:
            return wish
    return None


def _marks(run: RunContext, *, over: bool) -> dict[str, dict[str, Any]]:
    """The journal's watermarks; what a run has done that is over stays done where the lake tells them no more."""
    try:
        return run.watermarks()
    except DataFlowError as error:
        if not over:
            raise
        logger.warning("The watermark blocks could not be brought up to date: %s", error)
        return {}


def settle(name: str, wanted: Watermark, granted: str = "") -> Wish | None:
    """Make the block ``name`` say what is wanted; or answer what a person wishes by it, unless that was granted.

    Errors: ConfigError.
    """
    stored = stored_watermark(name)
    if stored is not None:
        if (wish := _asked(name, stored, wanted, granted)) is not None:
            return wish
        if (stored.pipeline, stored.source) != (wanted.pipeline, wanted.source):
            raise ConfigError(
                f"the Prefect block watermark/{name} belongs to source {stored.source!r} of pipeline "
                f"{stored.pipeline!r}, whose name reads the same as source {wanted.source!r} of "
                f"{wanted.pipeline!r}: rename one of them",
                block=name,
            )
        if stored.digest == wanted.digest:
            return None
    store(wanted, name)
    reach(Seam.BLOCK_SAVED, name)
    return None


def _asked(name: str, stored: Watermark, wanted: Watermark, granted: str) -> Wish | None:
    """What a person asks by the block, unless that was granted."""
    if stored.intact or stored.digest_now == granted or not (edited := stored.edited(wanted)):
        return None
    if others := sorted(edited - {"position"}):
        fields = f"{', '.join(others)} {'was' if len(others) == 1 else 'were'}"
        raise ConfigError(
            f"the Prefect block watermark/{name} cannot be obeyed: {fields} edited by hand, and only `position` moves a "
            f"source, the other fields follow from what was read; {_undo(name)}",
            block=name,
        )
    return Wish(
        source=stored.source,
        position=stored.position,
        name=stored.digest_now,
        place=f"the Prefect block watermark/{name} was edited by hand",
        undo=_undo(name),
    )


def _undo(name: str) -> str:
    return (
        f"restore the block, or delete it (`uv run prefect block delete watermark/{name}`) and the next run writes it "
        "anew from the lake"
    )


def stored_watermark(name: str) -> Watermark | None:
    """The block as it stands in Prefect; None where there is none.

    Errors: ConfigError for one that no longer reads as a watermark.
    """
    with get_client(sync_client=True) as client:
        return read_watermark(client, name)


def read_watermark(client: SyncPrefectClient, name: str) -> Watermark | None:
    """``stored_watermark``, by one question over a connection that is there. Errors: the same."""
    try:
        document = client.read_block_document_by_name(name, str(Watermark.get_block_type_slug()))
    except ObjectNotFound:
        return None
    try:
        return Watermark.model_validate(document.data)
    except ValidationError as error:
        field = error.errors()[0]
        raise ConfigError(
            f"the Prefect block watermark/{name} was edited by hand and reads no more as a watermark: "
            f"{'.'.join(map(str, field['loc']))}: {field['msg']}; {_undo(name)}",
            block=name,
        ) from error
