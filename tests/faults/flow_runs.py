"""How runs ended, as Prefect's server knows it."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName


def ended(pipeline: str, run_id: str) -> tuple[str, str]:
    """The name and the message of the state that the flow run is in."""
    with get_client(sync_client=True) as client:
        name = FlowRunFilterName(any_=[f"{pipeline}-{run_id}"])
        (found,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=name))
    assert found.state is not None
    return str(found.state.name), str(found.state.message)
