"""Scaffold a flow: ``just new-flow orders`` or, within a domain, ``just new-flow shop/orders``."""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "templates" / "flow"


def main() -> int:
    """Copy the template with the name filled in; exit code 2 when the name will not do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="orders, or shop/orders: lowercase letters, digits and underscores")
    try:
        written = scaffold(parser.parse_args().name)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(f"wrote {path.relative_to(ROOT)}")
    flow, test = written[1].relative_to(ROOT), written[2].relative_to(ROOT)
    print(f"try it: uv run pytest {test} && uv run python {flow}")
    return 0


def scaffold(path: str, root: Path = ROOT) -> list[Path]:
    """Write configuration, flow, test and example data of the flow named ``path``.

    Errors: ValueError where the name will not do or a file is there already; then nothing is written.
    """
    parts = path.split("/")
    for part in parts:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", part) or "__" in part or keyword.iskeyword(part):
            raise ValueError(f"{part!r} will not do as a name: lowercase letters, digits, single underscores")
    *domain, name = parts
    targets = {
        "config.yaml": root / "config" / f"{name}.yaml",
        "flow.py": root.joinpath("flows", *domain, f"{name}.py"),
        "test_flow.py": root.joinpath("tests", "flows", *domain, f"test_{name}.py"),
        "data.csv": root / "data" / name / "orders.csv",
    }
    if taken := [str(target.relative_to(root)) for target in targets.values() if target.exists()]:
        raise ValueError(f"{', '.join(taken)} is there already; choose another name or remove it")
    for source, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fill_in((TEMPLATE / source).read_text(encoding="utf-8"), parts), encoding="utf-8")
    return list(targets.values()) + _packages(root, domain)


def fill_in(text: str, parts: list[str]) -> str:
    """The template's text with the flow's name, module, path and title in it."""
    name = parts[-1]
    return (
        text.replace("flows.my_flow", ".".join(["flows", *parts]))
        .replace("flows/my_flow", "/".join(["flows", *parts]))
        .replace("parents[1]", f"parents[{len(parts)}]")
        .replace("My flow", name.replace("_", " ").capitalize())
        .replace("my_flow", name)
    )


def _packages(root: Path, domain: list[str]) -> list[Path]:
    """A domain is a package: its ``__init__.py`` files, where they are missing."""
    inits = [root.joinpath("flows", *domain[: i + 1], "__init__.py") for i in range(len(domain))]
    missing = [init for init in inits if not init.exists()]
    for init in missing:
        init.write_text(f'"""Flows of the domain {init.parent.name}."""\n', encoding="utf-8")
    return missing


if __name__ == "__main__":
    raise SystemExit(main())
