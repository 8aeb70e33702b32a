"""What the command lines have in common: where they write, how they tell errors, and with which exit code they end."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal, cast

import typer
from rich.console import Console

from dataflow import Engine, RunReport, Workflow
from dataflow.errors import BooksUnbalanced, ConfigError, DataFlowError, PlanError
from flows.display import Output, display_on
from flows.summary import print_report, report_json

PROJECT = Path(__file__).resolve().parent.parent
_PIPE_WIDTH = 160

# What every command line takes.
ConfigFile = Annotated[Path, typer.Option(envvar="PIPELINE_CONFIG", help="The pipeline's YAML file.")]
LakePlace = Annotated[str | None, typer.Option(help="Folder or URI; by default that of the configuration.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; logs go to stderr.")]
RunnerName = Annotated[str, typer.Option(help="prefect, or inline: without Prefect, in this process.")]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None, typer.Option(case_sensitive=False, help="How much to say.")
]


def run_app(app: typer.Typer, name: str, arguments: Sequence[str] | None) -> int:
    """Run a command line; every error is one line on stderr."""
    try:
        # Not standalone: typer would draw boxes around what is one line here.
        given = None if arguments is None else list(arguments)
        return int(typer.main.get_command(app).main(args=given, prog_name=name, standalone_mode=False) or 0)
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        _tell(f"{message().replace('Value error, ', '')} (--help lists the options)")
        return 2


def run_shown(
    workflow: Workflow, action: Callable[[Engine], RunReport], *, runner: str, as_json: bool, opening: str
) -> int:
    """Let ``action`` run ``workflow``, show its progress and what it came to; the exit code."""
    with stdout_kept_for_json() if as_json else contextlib.nullcontext():
        console = console_of(stderr=as_json)
        with display_on(console, f"{workflow.name}: {opening}{_server_start(runner)}") as display:
            report = action(Engine(runner=runner, observer=display))
    if as_json:
        say(report_json(report))
        return report.exit_code
    print_report(console, report)
    if runner == "prefect" and report.state != "skipped":
        console.print(f"Prefect UI: {_interface()}", soft_wrap=True)
    return report.exit_code


def declared(config: Path, lake: str | None, overrides: Sequence[str] = ()) -> Workflow:
    """The workflow of a configuration file, on the lake that the command line names.

    Errors: ConfigError, PlanError.
    """
    if lake is not None and not lake.strip():
        # A variable of the shell that is not set, most likely: the working directory is not meant.
        raise ConfigError("--lake is empty; name a folder or URI, or leave it out to take the configuration's own")
    return Workflow.from_yaml(config, lake=lake, overrides=tuple(overrides))


def console_of(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr, without markup."""
    # Paths and rules hold brackets and numbers: nothing in them is markup. A pipe has no width of its own.
    stream = Output(sys.stderr if stderr else sys.stdout)
    console = Console(file=cast("IO[str]", stream), stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


def set_log_level(level: str | None) -> None:
    """Log to stderr, Prefect too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level or "WARNING")  # here too: some libraries set their loggers' levels themselves
    logging.basicConfig(level=level or "WARNING", handlers=[handler], format="%(levelname)s %(name)s: %(message)s")
    if level is not None:
        os.environ["PREFECT_LOGGING_LEVEL"] = level


def _server_start(runner: str) -> str:
    if runner != "prefect" or os.environ.get("PREFECT_API_URL"):
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
class Outcome:
    """How a command ends."""

    code: int = 1
    error: str | None = None

    def tell(self, message: str, word: str = "error: ") -> None:
        self.error = message
        _tell(message, word)


@contextlib.contextmanager
def errors_told(*, debug: bool) -> Generator[Outcome]:
    """One line on stderr and an exit code for everything that can go wrong."""
    outcome = Outcome()
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
        # What Polars says goes on with its query plan.
        told = next(iter(str(error).strip().splitlines()), "")
        outcome.tell(f"{type(error).__name__}: {told}{more}")
    if debug:
        traceback.print_exc(file=sys.stderr)


def _tell(message: str, word: str = "error: ") -> None:
    output = Output(sys.stderr)
    output.write("".join(f"{word}{line}\n" for line in message.splitlines()))
    output.flush()


def say(text: str) -> None:
    """Write a line to stdout."""
    output = Output(sys.stdout)
    output.write(f"{text}\n")
    output.flush()


@contextlib.contextmanager
def stdout_kept_for_json() -> Generator[None]:
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
