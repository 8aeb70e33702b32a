"""The command line of the main job: options in, exit code out."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal, cast

import typer
from rich.console import Console

import dataflow
from dataflow.errors import BooksUnbalanced, ConfigError, DataFlowError, PlanError
from flows.display import Output, display_on
from flows.summary import failure_json, plan_json, print_plan, print_report, report_json

PROJECT = Path(__file__).resolve().parent.parent
CONFIG = PROJECT / "config" / "flights.yaml"
_PIPE_WIDTH = 160

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Order:
    """What the command line asks for."""

    config: Path
    lake: str | None
    full: bool
    select: tuple[str, ...]
    overrides: tuple[str, ...]
    runner: str
    json: bool


@app.command()
def etl(
    config: Annotated[Path, typer.Option(envvar="PIPELINE_CONFIG", help="The pipeline's YAML file.")] = CONFIG,
    lake: Annotated[str | None, typer.Option(help="Folder or URI; by default that of the configuration.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Ignore watermarks: run everything again.")] = False,
    select: Annotated[
        list[str] | None, typer.Option(help="stage, +stage (with all it needs), stage+ (with all that need it).")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, for any key of the YAML.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run and why; touch nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; logs go to stderr.")] = False,
    runner: Annotated[str, typer.Option(help="prefect, or inline: without Prefect, in this process.")] = "prefect",
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None,
        typer.Option(case_sensitive=False, help="How much to say."),
    ] = None,
) -> int:
    """Run a pipeline: land its sources, compute what is stale, check it, publish it.

    Exit code 0 for success and for nothing to do, 1 for a rejected gate or a failed run, 2 for bad usage or
    configuration, 130 when interrupted.
    """
    order = Order(config, lake, full, tuple(select or ()), tuple(overrides or ()), runner, as_json)
    _set_log_level(log_level)
    with _errors_told(debug=log_level == "DEBUG") as outcome:
        outcome.code = show_plan(order) if plan else run(order)
    if as_json and outcome.error:
        _say(failure_json(outcome.error, outcome.code))
    return outcome.code


def run(order: Order) -> int:
    """Execute the pipeline, show its progress and what it came to."""
    with _stdout_kept_for_json() if order.json else contextlib.nullcontext():
        console = _console(stderr=order.json)
        workflow = _workflow(order)
        opening = f"{workflow.name}: starting{_server_start(order)}"
        with display_on(console, opening) as display:
            engine = dataflow.Engine(runner=order.runner, observer=display)
            report = engine.execute(workflow, incremental=not order.full, select=order.select)
    if order.json:
        _say(report_json(report))
        return report.exit_code
    print_report(console, report)
    if order.runner == "prefect" and report.state != "skipped":
        console.print(f"Prefect UI: {_interface()}", soft_wrap=True)
    return report.exit_code


def show_plan(order: Order) -> int:
    """Print what would run."""
    workflow = _workflow(order)
    plan = dataflow.Engine(runner=order.runner).plan(workflow, incremental=not order.full, select=order.select)
    if order.json:
        _say(plan_json(plan))
    else:
        print_plan(_console(), plan)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error is one line on stderr."""
    try:
        # Not standalone: typer would draw boxes around what is one line here.
        given = None if arguments is None else list(arguments)
        return int(typer.main.get_command(app).main(args=given, prog_name="flows/etl.py", standalone_mode=False) or 0)
    except Exception as error:
        say = getattr(error, "format_message", None)
        if say is None:
            raise
        _tell(f"{say().replace('Value error, ', '')} (--help lists the options)")
        return 2


def _workflow(order: Order) -> dataflow.Workflow:
    if order.lake is not None and not order.lake.strip():
        # A variable of the shell that is not set, most likely: the working directory is not meant.
        raise ConfigError("--lake is empty; name a folder or URI, or leave it out to take the configuration's own")
    return dataflow.Workflow.from_yaml(order.config, lake=order.lake, overrides=order.overrides)


def _console(*, stderr: bool = False) -> Console:
    # Paths and rules hold brackets and numbers: nothing in them is markup. A pipe has no width of its own.
    stream = Output(sys.stderr if stderr else sys.stdout)
    console = Console(file=cast("IO[str]", stream), stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def _set_log_level(level: str | None) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level or "WARNING")  # here too: some libraries set their loggers' levels themselves
    logging.basicConfig(level=level or "WARNING", handlers=[handler], format="%(levelname)s %(name)s: %(message)s")
    if level is not None:
        os.environ["PREFECT_LOGGING_LEVEL"] = level


def _server_start(order: Order) -> str:
    if order.runner != "prefect" or os.environ.get("PREFECT_API_URL"):
        return ""
    return ", and with it Prefect's own server, which takes 10 to 20 s"


def _interface() -> str:
    """Where Prefect shows the run, or how to have it shown."""
    from prefect.settings import PREFECT_API_URL

    if url := PREFECT_API_URL.value():
        return str(url).removesuffix("/").removesuffix("/api")
    here = "" if Path.cwd() == PROJECT else f"cd {PROJECT} && "
    return f"{here}uv run prefect server start, then open http://127.0.0.1:4200; this run is listed there"


@dataclass
class _Outcome:
    code: int = 1
    error: str | None = None

    def tell(self, message: str, word: str = "error: ") -> None:
        self.error = message
        _tell(message, word)


@contextlib.contextmanager
def _errors_told(*, debug: bool) -> Generator[_Outcome]:
    """One line on stderr and an exit code for everything that can go wrong."""
    outcome = _Outcome()
    try:
        yield outcome
        return
    except KeyboardInterrupt:
        outcome.tell("interrupted; what is published stays, the next run finishes or sweeps the rest", "")
        outcome.code = 130
    except (ConfigError, PlanError) as error:
        outcome.code = 1 if isinstance(error, BooksUnbalanced) else 2
        outcome.tell(str(error))
    except DataFlowError as error:
        outcome.tell(str(error))
    except (Exception, SystemExit) as error:
        more = "" if debug else " (--log-level DEBUG shows where)"
        outcome.tell(f"{type(error).__name__}: {error}{more}")
    if debug:
        traceback.print_exc(file=sys.stderr)


def _tell(message: str, word: str = "error: ") -> None:
    output = Output(sys.stderr)
    output.write("".join(f"{word}{line}\n" for line in message.splitlines()))
    output.flush()


def _say(text: str) -> None:
    output = Output(sys.stdout)
    output.write(f"{text}\n")
    output.flush()


@contextlib.contextmanager
def _stdout_kept_for_json() -> Generator[None]:
    """What anything else prints meanwhile, a child process too, goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
