"""Runs a plan: stage, audit, publish, record."""

from __future__ import annotations

from dataflow.engine.chosen import Chosen
from dataflow.engine.engine import Engine, find_runner
from dataflow.engine.events import Event, Observer
from dataflow.engine.runner import Runner

__all__ = ["Chosen", "Engine", "Event", "Observer", "Runner", "find_runner"]
