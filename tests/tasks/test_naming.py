from __future__ import annotations

import pytest

from tasks.naming import slug, title


@pytest.mark.parametrize(
    ("name", "expected"), [("flights", "Flights"), ("daily_delays", "Daily Delays"), ("etl", "Etl")]
)
def test_titles_are_derived_from_names(name: str, expected: str):
    assert expected == title(name)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("flights", "bronze_flights"), "flights-bronze-flights"), (("A", "b  c_"), "a-b-c")],
)
def test_slugs_are_lowercase_letters_digits_and_dashes(names: tuple[str, ...], expected: str):
    assert expected == slug(*names)
