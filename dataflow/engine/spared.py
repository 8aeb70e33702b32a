"""What a run did not have to do, in words."""

from __future__ import annotations

from dataflow.model import RunReport
from dataflow.plan import count


def spared(report: RunReport) -> str:
    """What the run did not have to do, beside a run in full; empty where there is nothing to tell."""
    if not report.bytes_skipped and not report.rows_skipped:
        return ""
    told = f"spared: {count(report.rows_skipped, 'row')} and {report.bytes_skipped / 1e6:,.1f} MB not read"
    known = [stage for stage in report.stages if stage.full_seconds is not None and not stage.in_full]
    if not known:
        return told
    saved = report.seconds_saved
    return f"{told}; stages took {abs(saved):,.1f} s {'less' if saved >= 0 else 'more'} than when they last ran in full"
