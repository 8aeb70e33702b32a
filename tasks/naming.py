"""Names as Prefect shows them, derived from the names of files and stages."""

from __future__ import annotations

import re


def title(name: str) -> str:
    """The name that people read.

    Example:
        >>> title("daily_delays")
        'Daily Delays'
    """
    return name.replace("_", " ").title()


def slug(*names: str) -> str:
    """One key of lowercase letters, digits and dashes, all that artifacts and blocks accept.

    Example:
        >>> slug("flights", "bronze_flights")
        'flights-bronze-flights'
    """
    return re.sub(r"[^a-z0-9]+", "-", "-".join(names).lower()).strip("-")
