"""What stages wait for beside their inputs: tables that rules refer to, conditions, branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dataflow.errors import ConfigError, hint
from dataflow.workflow.graph import upstream
from dataflow.workflow.stage import Stage


@dataclass(frozen=True)
class Wait:
    """Why ``stage`` comes after another one: what was declared, and where it stands."""

    stage: str
    after: str
    why: str
    declared_by: str
    key: tuple[str, ...]


class Order:
    """The stages of a workflow, each of whose inputs is known."""

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        self._stages = stages
        self._inputs = {name: stage.inputs for name, stage in stages.items()}

    def linked(self, stage: Stage) -> Stage:
        """The stage with all that it waits for."""
        waits = self.waits(stage)
        branch_of = dict.fromkeys(wait.after for wait in waits if wait.declared_by != stage.name)
        after = dict.fromkeys([*stage.inputs, *(wait.after for wait in waits)])
        return replace(stage, after=tuple(after), branch_of=tuple(branch_of))

    def waits(self, stage: Stage) -> list[Wait]:
        """What the stage waits for beside its inputs."""
        own = stage.name
        found = [
            Wait(own, table, f"its rule {rule.name!r} refers to it", own, ("gate", rule.name))
            for rule in stage.gate
            for table in rule.references
        ]
        if stage.when is not None:
            reads = upstream(own, self._inputs) if stage.when.is_function else stage.when.stages
            found += [Wait(own, name, "its `when` reads it", own, ("when",)) for name in reads]
        return found + [
            Wait(own, other.name, f"its rule {rule.name!r} may branch to {own}", other.name, ("gate", rule.name))
            for other in self._stages.values()
            for rule in other.gate
            if rule.branch == own
        ]

    def mistakes(self, stage: Stage) -> Iterator[ConfigError]:
        """What the stage waits for, or branches to, and cannot."""
        for rule in stage.gate:
            for table in rule.references:
                if (why := self._not_referred(stage, table)) is not None:
                    yield ConfigError(f"refers to {why}", key=("gate", rule.name))
            if rule.branch is not None and (why := self._not_branched(stage, rule.branch)) is not None:
                yield ConfigError(f"branches to {why}", key=("gate", rule.name))
        if stage.when is not None:
            try:
                stage.when.check({name: [rule.name for rule in other.gate] for name, other in self._stages.items()})
            except ConfigError as error:
                yield ConfigError(error.message, key=("when",))
                return
            for name in stage.when.stages:
                if name == stage.name or stage.name in upstream(name, self._inputs):
                    yield ConfigError(
                        f"condition {stage.when.text!r} reads {name!r}, which has not run when it is asked; "
                        "name a stage that comes before",
                        key=("when",),
                    )

    def _not_referred(self, stage: Stage, table: str) -> str | None:
        if table not in self._stages:
            return f"an unknown table {table!r}{hint(table, self._stages)}"
        if table == stage.name:
            return "its own table, which the batch is about to change; check this in a stage that reads it"
        return None

    def _not_branched(self, stage: Stage, target: str) -> str | None:
        tasks = [name for name, other in self._stages.items() if other.kind == "task" and name != stage.name]
        if target not in self._stages:
            return f"an unknown stage {target!r}{hint(target, tasks)}"
        if target == stage.name:
            return "its own stage, which cannot run instead of itself; name another task"
        if self._stages[target].kind == "source":
            return f"{target!r}, a source, which is landed in any case; name a task"
        if target in upstream(stage.name, self._inputs):
            return (
                f"{target!r}, which has run by then: {stage.name} comes after it; name a task that does not come before"
            )
        if stage.name in upstream(target, self._inputs):
            return f"{target!r}, which needs {stage.name}, and of that nothing is published then; name a task that does not"
        return None
