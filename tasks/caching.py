"""Caching by the planner's key: the one name of a step's result, here and in the lake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext


@dataclass
class StepKey(CachePolicy):
    """The cache key of a step is the planner's key, whatever the task's parameters are.

    It covers input versions, code, configuration and target. Whether the files that the result
    names are still there is asked at submission, and an answer of no refreshes the cache.
    """

    key: str = ""

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str:
        return self.key
