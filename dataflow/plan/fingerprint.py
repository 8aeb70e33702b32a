"""Changes when a stage would compute something else."""

from __future__ import annotations

from dataflow.incremental.fingerprint import code_fingerprint
from dataflow.model import digest
from dataflow.quality.rules import ValidationRule
from dataflow.sources import Source
from dataflow.workflow import Stage
from dataflow.workflow.strategies import Settling


def stage_fingerprint(stage: Stage, source: Source | None = None) -> str:
    """Changes when the stage's code or settings would give other rows or files."""
    code = source.fingerprint if source is not None else code_fingerprint(stage.function) if stage.function else ""
    storage = stage.storage.model_dump_json(exclude={"format", "updates"})
    window = stage.window.model_dump_json(exclude={"trigger_interval"}) if stage.window else ""
    rules = [
        (r.name, r.predicate, sorted((r.expectation or {}).items(), key=str), r.severity, r.mostly, r.scope, _route(r))
        for r in stage.gate
    ]
    return digest(
        code,
        stage.inputs,
        stage.partition_by,
        stage.rows,
        stage.members,
        stage.deduplicate,
        _strategy(stage.strategy),
        window,
        storage,
        rules,
        stage.pii,
    )


def _route(rule: ValidationRule) -> tuple[object, ...]:
    """What failing does, told by what a repair's code does."""
    repair = rule.repair
    if repair is not None:
        return "repair", repair.column, code_fingerprint(repair.function)
    return rule.route, rule.branch


def _strategy(settling: Settling | None) -> tuple[object, ...]:
    if settling is None:
        return ()
    kind = type(settling.strategy)
    # Ours keep what they promise from version to version.
    code = "" if kind.__module__.startswith("dataflow.") else code_fingerprint(kind)
    return settling.config.type, settling.config.options, code
