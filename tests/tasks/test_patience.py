from __future__ import annotations

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.patience import is_away, lose_patience, patience, warn

REQUEST = httpx.Request("POST", "http://127.0.0.1:9/api/artifacts")


def answered(status: int) -> httpx.HTTPStatusError:
    with pytest.raises(httpx.HTTPStatusError) as told:
        httpx.Response(status, request=REQUEST).raise_for_status()
    return told.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.ReadTimeout("slow"), True),
        (httpx.RemoteProtocolError("cut"), True),
        (answered(503), True),
        (PrefectHTTPStatusError.from_httpx_error(answered(429)), True),
        (answered(500), False),
        (answered(404), False),
        (ValueError("none of Prefect's"), False),
    ],
)
def test_prefect_is_away_where_it_does_not_answer_or_says_so(error: Exception, expected: bool):
    assert expected is is_away(error)


def test_patience_is_lost_to_the_end_of_the_run_and_no_further():
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 5}):
        with patience():
            lose_patience(ValueError("none of Prefect's"))
            assert 5 == PREFECT_CLIENT_MAX_RETRIES.value()

            lose_patience(httpx.ConnectError("refused"))
            lose_patience()
            assert 0 == PREFECT_CLIENT_MAX_RETRIES.value()

        assert 5 == PREFECT_CLIENT_MAX_RETRIES.value()


def test_outside_of_a_run_there_is_none_to_lose():
    before = PREFECT_CLIENT_MAX_RETRIES.value()

    lose_patience()

    assert before == PREFECT_CLIENT_MAX_RETRIES.value()


def test_what_prefect_did_not_take_is_said_once(caplog: pytest.LogCaptureFixture):
    warn("The artifact {} could not be made", {})
    warn("The artifact {} could not be made", {"a": ValueError("away"), "b": ValueError("away too")})

    assert ["The artifact a (and 1 more) could not be made: away"] == caplog.messages
