"""What gates find."""

from __future__ import annotations

from typing import Any, Literal

from dataflow.model.values import Frozen

Severity = Literal["critical", "warning", "info"]
Route = Literal["fail", "quarantine", "drop", "repair", "branch", "warn", "measure"]
Scope = Literal["row", "batch", "table"]
"""What a rule is about: each row, the batch, or the table as it will be after the batch is published."""


class RuleResult(Frozen):
    """What one rule found in one batch."""

    rule: str
    severity: Severity
    route: Route
    scope: Scope = "row"
    success: bool
    checked: int = 0
    """Rows that the rule looked at."""
    failed: int = 0
    """Rows that broke the rule; of a repair, those of them that are not published."""
    repaired: int = 0
    """Rows that broke the rule, were made good and are published."""
    rows: tuple[int, ...] = ()
    """Row ids of the first few rows that broke the rule, where rows carry ids."""
    observed: Any = None
    """The measured value of a rule about the batch (a count, a mean)."""
    statement: str = ""
    """The rule in words: its predicate, or the expectation and its arguments."""
    evidence: str = "scan"
    """How it was found: by a scan of the batch, or by what spared one (statistics, the deduplication before)."""
    branch: str | None = None
    """The stage that runs instead when a rule with the route ``branch`` fails."""
    error: str | None = None
    """Why the rule could not be evaluated."""


class Verdict(Frozen):
    """A gate's answer about exactly the files that ``digest`` names."""

    stage: str
    batch_id: str
    digest: str
    results: tuple[RuleResult, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know beside the results: an alert that could not be sent."""

    @property
    def rejected_by(self) -> tuple[RuleResult, ...]:
        """Failed rules whose route refuses the batch, and rules that could not be evaluated."""
        return tuple(r for r in self.results if not r.success and (r.route == "fail" or r.error))

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Per rule: success, rows checked, rows failed, observed value and so on."""
        return {r.rule: r.model_dump(exclude={"rule", "statement", "error"}) for r in self.results}

    @property
    def branches(self) -> tuple[str, ...]:
        """The stages that run instead, in the order of the rules; none where the batch is refused."""
        taken = [r.branch for r in self.results if not r.success and r.branch is not None]
        return () if self.rejected_by else tuple(dict.fromkeys(taken))

    @property
    def outcome(self) -> Literal["passed", "warned", "quarantined", "branched", "rejected"]:
        if self.rejected_by:
            return "rejected"
        if self.branches:
            return "branched"
        routes = {r.route for r in self.results if not r.success}
        if routes & {"quarantine", "repair", "drop"}:
            return "quarantined"
        return "warned" if "warn" in routes else "passed"
