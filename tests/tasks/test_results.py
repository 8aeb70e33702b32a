from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import GateRejected, SourceCorrupt, StageFailed
from dataflow.model import Manifest, RowCounts, StagedFile, TableVersion, Unit, Verdict
from tasks.results import ModelSerializer
from tests.tasks.runs import REFUSAL, RULES, manifest

SERIALIZER = ModelSerializer()
TEXT = st.text(max_size=20)
MANIFESTS = st.builds(
    Manifest,
    unit=st.builds(Unit, stage=TEXT, partition=st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=3).map(tuple)),
    key=TEXT,
    batch_id=TEXT,
    staged_at=st.datetimes(timezones=st.just(UTC)),
    files=st.lists(
        st.builds(StagedFile, table=TEXT, path=TEXT, role=st.just("new"), rows=st.integers(0), size_bytes=st.just(1)),
        max_size=2,
    ).map(tuple),
    counts=st.builds(RowCounts, read=st.integers(0, 2**60)),
    schemas=st.dictionaries(TEXT, TEXT, max_size=2),
    event_time_max=st.none() | st.datetimes(timezones=st.just(UTC)),
)
RESULTS = st.recursive(
    MANIFESTS | st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)


@given(RESULTS)
def test_a_result_comes_back_as_it_went(result: object):
    assert result == SERIALIZER.loads(SERIALIZER.dumps(result))


@pytest.mark.parametrize(
    "result",
    [
        Verdict(stage="s", batch_id="b", digest="d", results=(*RULES, REFUSAL)),
        (TableVersion(table="t", uri="u", version=3), datetime.now(UTC).isoformat()),
    ],
)
def test_other_models_come_back_too(result: object):
    assert result == SERIALIZER.loads(SERIALIZER.dumps(result))


@pytest.mark.parametrize("result", [object(), {"a": 1}, {1, 2}, [datetime.now(UTC)], Exception])
def test_what_would_not_come_back_is_refused(result: object):
    with pytest.raises(TypeError, match=r"must return models of dataflow\.model"):
        SERIALIZER.dumps(result)


def test_what_is_kept_is_json_and_names_classes_of_ours_only():
    kept = json.loads(SERIALIZER.dumps((manifest(),)))
    assert "Manifest" == kept["tuple"][0]["model"]

    with pytest.raises(AttributeError):
        SERIALIZER.loads(b'{"model": "system", "value": {}}')


def test_errors_keep_their_type_message_and_readable_details():
    error = GateRejected("no", verdict=manifest(), frame=object(), count=3)

    found = SERIALIZER.loads(SERIALIZER.dumps(error))

    assert (GateRejected, "no", manifest(), 3) == (type(found), found.message, found.verdict, found.count)
    assert found.frame.startswith("<object object")
    assert isinstance(SERIALIZER.loads(SERIALIZER.dumps(SourceCorrupt("x"))), SourceCorrupt)


def test_foreign_errors_become_a_failed_stage_in_words():
    found = SERIALIZER.loads(SERIALIZER.dumps(ZeroDivisionError("division by zero")))

    assert (StageFailed, "ZeroDivisionError: division by zero") == (type(found), found.message)
