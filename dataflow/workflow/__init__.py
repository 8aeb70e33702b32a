"""The declaration of a pipeline: sources and tasks, what they need, and what must be true of them."""

from __future__ import annotations

from dataflow.workflow.declaration import Workflow
from dataflow.workflow.stage import Stage

__all__ = ["Stage", "Workflow"]
