"""What the command lines have in common: where they write, how they tell errors, and with which exit code they end."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal, NoReturn, TypeVar, cast

import typer
from rich.console import Console

from dataflow import Engine, RunReport, Workflow
from dataflow.config import Environment, Flags, Loaded, load_document
from dataflow.engine.events import Event, Observer
from dataflow.errors import BooksUnbalanced, ConfigError, DataFlowError, PlanError
from dataflow.model.secrets import redacted
from flows.display import Output, display_on
from flows.logs import start_logging
from flows.signals import INTERRUPTED, TERMINATED, Terminated, sigterm_raised
from flows.summary import failure_json, print_report, report_json

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parent.parent
CONFIG = PROJECT / "config" / "flights.yaml"
EVENTS = PROJECT / "config" / "events.yaml"
_PIPE_WIDTH = 160
_PATIENCE_SECONDS = 20.0

# What every command line takes.
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        envvar="PIPELINE_CONFIG",
        help="The pipeline's YAML file.",
        show_default="config/flights.yaml",
    ),
]
LakePlace = Annotated[str | None, typer.Option(help="Folder or URI; by default that of the configuration.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; logs go to stderr.")]
RunnerName = Annotated[str, typer.Option(help="prefect, or inline: without Prefect, in this process.")]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None, typer.Option(case_sensitive=False, help="How much to say.")
]
# What those take that run a whole pipeline, or show what it is.
LogFormat = Annotated[Literal["text", "json"] | None, typer.Option(help="Lines for people, or an object a line.")]
LogFile = Annotated[str | None, typer.Option(help="Also log to this file, all from INFO on.")]
Source = Annotated[
    str | None, typer.Option(help="pubsub, polars_synthetic, file, dlt ...; without --config, of config/events.yaml.")
]
Mode = Annotated[str | None, typer.Option(help="speed or chaos, of a source that makes its messages.")]
Scale = Annotated[int | None, typer.Option(help="How many messages it makes.")]
Seed = Annotated[int | None, typer.Option(help="Same seed, same messages.")]
Paths = Annotated[
    list[str] | None, typer.Option("--path", help="File, folder or quoted glob of the file source; again for more.")
]
Strategies = Annotated[list[str] | None, typer.Option("--strategy", help="Run this strategy; again for more.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="key=value, for any key of the YAML.")]


def run_app(app: typer.Typer, name: str, arguments: Sequence[str] | None) -> int:
    """Run a command line; every error is one line on stderr, and SIGTERM ends it as Ctrl-C does."""
    with sigterm_raised():
        return _run_app(app, name, arguments)


def _run_app(app: typer.Typer, name: str, arguments: Sequence[str] | None) -> int:
    try:
        # Not standalone: typer would draw boxes around what is one line here.
        given = None if arguments is None else list(arguments)
        return int(typer.main.get_command(app).main(args=given, prog_name=name, standalone_mode=False) or 0)
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        said = " ".join(message().replace("Value error, ", "").split())
        told = f"{said if said.endswith('..') else said.removesuffix('.')}{_unquoted(said)} (--help lists the options)"
        tell(told)
        if "--json" in (sys.argv[1:] if arguments is None else arguments):
            say(failure_json(told, 2))
        return 2


def _unquoted(message: str) -> str:
    """What to do where a shell made several words of a pattern."""
    word = message.removeprefix("No such command '").removesuffix("'.")
    if word == message or not set(word) & set("./"):
        return ""
    return "; put quotes around a pattern, as in --path 'landing/*.jsonl'"


def run_shown(
    workflow: Workflow, action: Callable[[Engine], RunReport], *, runner: str, as_json: bool, opening: str
) -> int:
    """Let ``action`` run ``workflow``, show its progress and what it came to; the exit code."""
    report = displayed(workflow, action, runner=runner, as_json=as_json, opening=opening)
    show_report(report, runner=runner, as_json=as_json)
    return report.exit_code


def displayed(
    workflow: Workflow,
    action: Callable[[Engine], T],
    *,
    runner: str,
    as_json: bool,
    opening: str | None,
    listen: Observer | None = None,
) -> T:
    """What ``action`` gives, its progress shown meanwhile but without an ``opening``; ``listen`` hears of it too."""
    with contextlib.ExitStack() as stack:
        if as_json:
            stack.enter_context(stdout_kept_for_json())
        display: Observer | None = None
        if opening is not None:
            said = f"{workflow.name}: {opening}{_server_start(runner)}"
            display = stack.enter_context(display_on(console_of(stderr=as_json), said))

        def observe(event: Event) -> None:
            if display is not None:
                display(event)
            if listen is not None:
                listen(event)

        return action(Engine(runner=runner, observer=observe))


def show_report(report: RunReport, *, runner: str, as_json: bool) -> None:
    """Print what a run came to."""
    if as_json:
        say(report_json(report))
        return
    console = console_of()
    print_report(console, report)
    if runner == "prefect" and report.state != "skipped":
        console.print(f"Prefect UI: {_interface()}", soft_wrap=True)


def read_config(config: Path | None, flags: Flags, overrides: Sequence[str] = ()) -> Loaded:
    """The configuration that a command line means, and what it changes about it.

    Errors: ConfigError.
    """
    return load_document(_chosen(config, flags), flags=flags, overrides=tuple(overrides))


def _chosen(config: Path | None, flags: Flags) -> Path:
    named = str(config) if config is not None else Environment.of_process().path("PIPELINE_CONFIG")
    if named is not None:
        return Path(named)
    if flags.source is None:
        return CONFIG
    tell(f"--source without --config: {os.path.relpath(EVENTS)} is taken", "note: ")
    return EVENTS


def declared(config: Path | None, flags: Flags, overrides: Sequence[str] = ()) -> Workflow:
    """The workflow of a configuration; logging starts as this says.

    Errors: ConfigError, PlanError.
    """
    loaded = read_config(config, flags, overrides)
    logs = loaded.config.logging
    start_logging(logs.level, logs.format, None if logs.file is None else Path(logs.file))
    return Workflow.from_loaded(loaded)


def console_of(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr, without markup."""
    # Paths and rules hold brackets and numbers: nothing in them is markup. A pipe has no width of its own.
    stream = Output(sys.stderr if stderr else sys.stdout)
    console = Console(file=cast("IO[str]", stream), stderr=stderr, markup=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


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
        self.error = redacted(message)
        tell(self.error, word)


def leave(code: int) -> NoReturn:
    """End the process; after Ctrl-C and SIGTERM at once, else within half a minute.

    Python would wait for every thread: one that asks a source which does not answer may never end, and Prefect's goes
    on for minutes to tell events to a server that is gone. What it leaves is what a run that was killed leaves: the
    next one finishes or sweeps it.
    """
    if code in (INTERRUPTED, TERMINATED):
        _end(code)
    late = threading.Timer(_PATIENCE_SECONDS, _end, (code,))
    late.daemon = True
    late.start()
    raise SystemExit(code)


def _end(code: int) -> NoReturn:
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        Output(stream).flush()
    os._exit(code)


@contextlib.contextmanager
def errors_told(*, debug: bool, as_json: bool = False) -> Generator[Outcome]:
    """One line on stderr and an exit code for everything that can go wrong; with ``as_json`` also an object on stdout."""
    outcome = Outcome()
    try:
        yield outcome
        return
    except KeyboardInterrupt as error:
        word, outcome.code = (
            ("terminated", TERMINATED) if isinstance(error, Terminated) else ("interrupted", INTERRUPTED)
        )
        outcome.tell(f"{word}; what is published stays, the next run finishes or sweeps the rest", "")
    except (ConfigError, PlanError) as error:
        outcome.code = 1 if isinstance(error, BooksUnbalanced) else 2
        outcome.tell(str(error))
    except DataFlowError as error:
        outcome.tell(str(error))
    except (Exception, SystemExit) as error:
        more = "" if debug or logging.getLogger().level == logging.DEBUG else " (--log-level DEBUG shows where)"
        # What Polars says goes on with its query plan.
        told = next(iter(str(error).strip().splitlines()), "")
        outcome.tell(f"{type(error).__name__}: {told}{more}")
    if debug or logging.getLogger().level == logging.DEBUG:
        traceback.print_exc(file=sys.stderr)
    if as_json and outcome.error:
        say(failure_json(outcome.error, outcome.code))


def tell(message: str, word: str = "error: ") -> None:
    """Write lines to stderr."""
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
