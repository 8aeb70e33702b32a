"""What Data Docs show of a validation result: counts and arguments, but no values of rows."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

_COUNTS = (
    "element_count",
    "missing_count",
    "missing_percent",
    "unexpected_count",
    "unexpected_percent",
    "unexpected_percent_total",
    "unexpected_percent_nonmissing",
    "observed_value",
)
"""What a result tells without a value of any row. What a gate observes of a personal column it leaves out itself."""
_OURS = "__"
"""Expectations with such a rule's name are the gate's own, not the user's."""


def as_markup(text: str) -> str:
    """Text as a page has it; Great Expectations puts some of it into templates, where a dollar means a parameter."""
    return html.escape(text).replace("$", "&#36;")


def shown(stage: str, batch_id: str, judged_at: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """The result as its page may show it: nothing of the machine, no traceback, text that is no markup."""
    return {
        **result,
        "suite_name": stage,
        "suite_parameters": {},
        "meta": {"run_id": {"run_name": batch_id, "run_time": judged_at}},
        "results": [_shown(each) for each in _of_rules(result)],
    }


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result in the few figures that the index shows."""
    results = _of_rules(result)
    not_met = [_rule(each) for each in results if not each["success"]]
    return {"success": not not_met, "all": len(results), "met": len(results) - len(not_met), "not_met": not_met}


def _of_rules(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for each in result["results"] if not _rule(each).startswith(_OURS)]


def _rule(result: Mapping[str, Any]) -> str:
    config = result["expectation_config"]
    return str(config.get("meta", {}).get("rule") or config["type"])


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    config = result["expectation_config"]
    of_rule = {"rule": as_markup(_rule(result)), "severity": as_markup(config.get("severity", "critical"))}
    kwargs = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
    return {
        "success": result["success"],
        "expectation_config": {**config, "kwargs": kwargs, "meta": of_rule, **_description(config, kwargs)},
        "result": _counted({key: value for key, value in result["result"].items() if key in _COUNTS}),
        "meta": {},
        "exception_info": _exception(result.get("exception_info") or {}),
    }


def _counted(told: dict[str, Any]) -> dict[str, Any]:
    """Of a set of values Great Expectations counts what is not as expected, without a share: it cannot draw that."""
    if "unexpected_count" not in told or "unexpected_percent" in told:
        return told
    others = {key: value for key, value in told.items() if key != "unexpected_count"}
    if others.get("observed_value") is None:
        others["observed_value"] = f"{told['unexpected_count']} not as expected"
    return others


def _description(config: Mapping[str, Any], kwargs: Mapping[str, Any]) -> dict[str, str]:
    """What an expectation says, where Great Expectations has no sentence of its own for it, or the user has one."""
    text = config.get("description") or (f"Rows must satisfy: {kwargs['statement']}" if "statement" in kwargs else "")
    return {"description": as_markup(text)} if text else {}


def _exception(info: Mapping[str, Any]) -> dict[str, Any]:
    """Great Expectations keeps one error, or one a metric."""
    each: list[Mapping[str, Any]] = [info] if "raised_exception" in info or not info else list(info.values())
    raised = [str(one["exception_message"]) for one in each if one.get("raised_exception")]
    # Polars lists the values that it could not convert: those stay where they are.
    message = re.sub(r": \[.*\]", "", raised[0].split("\n\n")[0].strip()) if raised else None
    return {"raised_exception": bool(raised), "exception_message": message, "exception_traceback": None}
