"""The fenced blocks of a Markdown page, as programs that can be run.

A `python` block is run with those before it, in one process. Of a `bash` block the lines that begin with
`uv run python flows/etl.py` (also after `&&`) are run. Anything else is fenced as `text`, or not marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

COMMAND = "uv run python flows/etl.py"
_FENCE = re.compile(r"^```(\w*)\s*$")


def blocks(page: str) -> Iterator[tuple[str, int, str]]:
    """Language, number of the first line, and text of every fenced block.

    Errors: ValueError where the last block is not closed.
    """
    language, start, lines = None, 0, []
    for number, line in enumerate(page.splitlines(), 1):
        fence = _FENCE.match(line)
        if language is None and fence:
            language, start, lines = fence[1], number + 1, []
        elif language is not None and line.rstrip() == "```":
            yield language, start, "\n".join(lines)
            language = None
        elif language is not None:
            lines.append(line)
    if language is not None:
        raise ValueError(f"the block that begins at line {start} is not closed")


def python_program(page: str) -> str:
    """All `python` blocks, each at the line where the page has it: tracebacks point into the page."""
    program = [""] * len(page.splitlines())
    for language, start, text in blocks(page):
        if language == "python":
            lines = text.splitlines()
            program[start - 1 : start - 1 + len(lines)] = lines
    return "\n".join(program) + "\n"


def shell_commands(page: str) -> list[tuple[int, str]]:
    """Line number and text of the commands that run the main job, or make what it needs, in the page's order."""
    return [
        (start + offset, command[max(0, command.find(COMMAND)) :].split(" #")[0].strip())
        for language, start, text in blocks(page)
        if language in ("bash", "sh", "console")
        for offset, command in enumerate(text.splitlines())
        if re.search(rf"^mkdir |(^|&& |\$ ){re.escape(COMMAND)}", command)
    ]


def shim(folder: Path) -> Path:
    """A folder with a `uv` that runs commands in the environment at hand, without setting one up."""
    folder.mkdir(parents=True)
    uv = folder / "uv"
    uv.write_text('#!/bin/sh\n[ "$1" = run ] || { echo "only uv run is known here" >&2; exit 2; }\nshift\nexec "$@"\n')
    uv.chmod(0o755)
    return folder
