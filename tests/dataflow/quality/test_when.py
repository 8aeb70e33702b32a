"""Conditions on what gates found: what they read, when they hold, what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import ConfigError, QualityError
from dataflow.model import RowCounts, RuleResult, RunReport, StageReport, Verdict
from dataflow.quality.when import OF_RULE, OF_STAGE, OUTCOMES, StageMetrics, When


def result(rule: str, *, success: bool = False, **found: Any) -> RuleResult:
    return RuleResult(rule=rule, severity="critical", route="quarantine", success=success, **found)


RESULTS = (
    result("plane_is_listed", checked=10, failed=3, repaired=1),
    result("key is unique", success=True, checked=0),
    result("mean_delay", success=True, observed=12.5),
)
VERDICT = Verdict(stage="flights", batch_id="b", digest="d", results=RESULTS)
METRICS = {
    "flights": StageMetrics(RowCounts(read=10, produced=10, quarantined=3, published=7), VERDICT),
    "weather": StageMetrics(RowCounts(read=5), None),
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("flights.plane_is_listed.failed > 0", True),
        ("flights.plane_is_listed.failed > 3", False),
        ("flights.quarantined > 2 AND flights.outcome = 'quarantined'", True),
        ("flights.outcome IN ('passed', 'warned')", False),
        ('flights."key is unique".success', True),
        ("NOT flights.plane_is_listed.success", True),
        ("flights.plane_is_listed.share > 0.25 AND flights.plane_is_listed.share < 0.35", True),
        ("flights.plane_is_listed.repaired = 1 AND flights.plane_is_listed.checked = 10", True),
        ('flights."key is unique".share >= 0', False),  # nothing was checked
        ("flights.mean_delay.observed > 12", True),
        ("flights.plane_is_listed.observed > 12", False),
        ("flights.read = weather.read * 2", True),
        ("weather.outcome = 'passed'", False),  # no gate
        ("weather.wind.failed = 0", False),  # no such rule any more
        ("never.read >= 0", False),
        ("never.x.observed >= 0", False),
        ("NOT never.x.success", False),
        ("never.read > 0 OR flights.read > 0", True),
        ("flights.read >= COALESCE(never.read, 10)", True),
    ],
)
def test_conditions_hold(condition: str, expected: bool):
    assert expected is When(condition).holds(METRICS)


def test_a_condition_says_what_it_reads():
    when = When("weather.read > 0 AND flights.x.failed > flights.read AND weather.late = 0")
    assert ("weather", "flights") == when.stages
    assert "weather.read > 0 AND flights.x.failed > flights.read AND weather.late = 0" == when.text
    assert not when.is_function
    assert when == pickle.loads(pickle.dumps(when))
    assert when != When("weather.read > 0")


def many_planes_are_missing(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bool:
    return metrics["flights"]["plane_is_listed"]["failed"] > 2


def test_a_function_is_called_with_the_metrics_of_a_report():
    seen: list[Any] = []

    def condition(metrics: Any) -> bool:
        seen.append(metrics)
        return False

    report = StageReport(stage="flights", kind="task", state="published", verdict=VERDICT)
    whole = RunReport(
        pipeline="p",
        run_id="r",
        state="completed",
        lake="l",
        started_at=datetime(2013, 1, 1),
        seconds=0,
        stages=(report,),
    )
    assert not When(condition).holds(METRICS)
    assert [whole.quality_metrics] == seen


def test_a_function_says_yes_and_has_a_name():
    when = When(many_planes_are_missing)
    assert when.holds(METRICS)
    assert ("many_planes_are_missing", (), True) == (when.text, when.stages, when.is_function)
    when.check({})


class Callable:
    def __call__(self, _: Any) -> Any:
        return 1

    def __repr__(self) -> str:
        return "an object"


def test_a_function_answers_with_a_bool():
    with pytest.raises(QualityError, match="the condition an object answers with 1, not with True or False"):
        When(Callable()).holds(METRICS)


def test_an_observed_value_of_another_type():
    with pytest.raises(QualityError, match=r"the condition .* cannot be told: cannot compare string with numeric"):
        When("flights.mean_delay.observed = 'high'").holds(METRICS)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "it is empty"),
        ("flights.read >", "this is not SQL that can be read"),
        ("read > 0", "'read' is no metric; write stage.rule.metric or stage.metric"),
        ("a.b.c.read > 0", "'a.b.c.read' is no metric"),
        ("1 = 1", "no metric is named"),
        ("flights.raed > 0", "unknown metric 'raed' of a stage (flights); did you mean 'read'?"),
        ("flights.x.fialed > 0", "unknown metric 'fialed' of a rule (flights.x); did you mean 'failed'?"),
        ("flights.outcome = 'quarantine'", "unknown outcome 'quarantine'; did you mean 'quarantined'?"),
        ("flights.outcome IN ('passed', 'fine')", "unknown outcome 'fine'; accepted: branched"),
        ("flights.outcome > 5", "cannot compare string with numeric"),
        ("flights.read", "this is a value, not a question"),
        ("flights.read + 1", "this is a value, not a question"),
        ("COALESCE(flights.read, 1)", "this is a value, not a question"),
        ("flights.read > (SELECT 1)", "SUBQUERY"),
        ("read_csv('/etc/passwd') = flights.read", "a rule cannot read files"),
        ("(" * 5000 + "flights.read > 0" + ")" * 5000, "it is nested too deeply; write a function"),
        (3, "3 is neither a text nor a function; write stage.rule.metric"),
    ],
)
def test_what_is_no_condition(condition: Any, message: str):
    with pytest.raises(ConfigError) as caught:
        When(condition)
    assert message in caught.value.message
    assert "when" == caught.value.key


GATES = {"flights": ["plane_is_listed"], "weather": []}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("flihgts.read > 0", "unknown stage 'flihgts'; did you mean 'flights'? accepted: flights, weather"),
        (
            "flights.plane_listed.failed > 0",
            "'flights' has no rule 'plane_listed'; did you mean 'plane_is_listed'? accepted: plane_is_listed",
        ),
        ("weather.x.failed > 0", "'weather' has no rule 'x'; accepted: none"),
    ],
)
def test_stages_and_rules_that_are_not_there(condition: str, message: str):
    with pytest.raises(ConfigError) as caught:
        When(condition).check(GATES)
    assert f"condition {condition!r}: {message}" == caught.value.message


def test_stages_and_rules_that_are():
    When("flights.plane_is_listed.failed > 0 AND weather.read > 0").check(GATES)


def test_the_metrics_are_those_of_the_model():
    assert get_args(get_type_hints(Verdict.outcome.fget)["return"]) == OUTCOMES  # type: ignore[attr-defined]
    assert {*RowCounts.model_fields, "outcome"} == set(OF_STAGE)
    assert set(OF_RULE) - {"share"} <= set(RuleResult.model_fields)


@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
def test_numbers_are_compared_as_numbers(failed: int, bound: int, sign: str):
    verdict = Verdict(stage="a", batch_id="b", digest="d", results=(result("r", failed=failed, checked=5),))
    python = {"=": "==", "<>": "!="}.get(sign, sign)
    expected = eval(f"{failed} {python} {bound}")
    assert expected is When(f"a.r.failed {sign} {bound}").holds({"a": StageMetrics(RowCounts(), verdict)})
