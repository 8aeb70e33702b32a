"""The flow that is deployed for a pipeline: its parameters are the form that Prefect shows."""

from __future__ import annotations

from pathlib import Path

from prefect import Flow
from prefect.client.schemas.objects import State

import blocks
import dataflow
from dataflow.errors import ConfigError
from dataflow.lake.lake import Lake
from tasks.naming import title
from tasks.states import final_state

ROOT = Path(__file__).resolve().parent.parent
BLOCK = "lake/"


def deployable(configuration: str) -> Flow[..., State[None]]:
    """The flow that runs the pipeline of a configuration file, a path within the project.

    It ends as the run ends, in a state named Completed, Skipped, Rejected or Failed.

    Errors: ConfigError for a file that is not there, when the flow is made and not when it is due.
    """
    if not (ROOT / configuration).is_file():
        raise ConfigError(f"there is no configuration {configuration!r} in {ROOT} to deploy", file=configuration)

    def run_pipeline(
        config: str = configuration,
        lake: str | None = None,
        full: bool = False,
        select: list[str] = [],  # noqa: B006 - Prefect shows it as the form's default; it is never changed
    ) -> State[None]:
        """Run a pipeline.

        Args:
            config: Configuration file; a relative path counts from the project.
            lake: Folder, URI, or `lake/NAME` for a Lake block; by default the configuration's.
            full: Ignore watermarks and read everything again.
            select: Only these stages: `stage`, `stage+` with all that follows, `+stage` with all that it needs.
        """
        workflow = dataflow.Workflow.from_yaml(ROOT / config)
        engine = dataflow.Engine(runner="prefect", lake=opened(lake))
        return final_state(engine.execute(workflow, incremental=not full, select=tuple(select)))

    name = Path(configuration).stem
    run_pipeline.__name__ = name
    return Flow(run_pipeline, name=title(name), description=f"Run the pipeline of {configuration}.")


def opened(lake: str | None) -> str | Lake | None:
    """The lake that a parameter names: a place, or what the block ``lake/NAME`` says; None is left to the file.

    Errors: ConfigError for a block that is not there.
    """
    if lake is None or not lake.startswith(BLOCK):
        return lake
    name = lake.removeprefix(BLOCK)
    try:
        block = blocks.Lake.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError as error:
        raise ConfigError(
            f"Prefect has no block {lake!r}: make one (Blocks, +, Lake) and name it {name!r}, or give the lake's URI",
            block=lake,
        ) from error
    return Lake(block.uri, block.options)  # type: ignore[union-attr]
