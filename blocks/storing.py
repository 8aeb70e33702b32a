"""Keeps blocks in Prefect."""

from __future__ import annotations

from prefect.blocks.core import Block
from prefect.exceptions import ObjectAlreadyExists


def store(block: Block, name: str) -> None:
    """Save ``block`` under ``name``, in the place of one that is there."""
    try:
        block.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]
    except ObjectAlreadyExists:
        # The first of a kind registers its type: of two that do so at once, the second is told that it exists.
        block.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]
