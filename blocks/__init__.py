"""Prefect blocks: what is typed into Prefect, or mirrored there, and kept for later runs."""

from blocks.lake import Lake
from blocks.watermark import Watermark

__all__ = ["Lake", "Watermark"]
