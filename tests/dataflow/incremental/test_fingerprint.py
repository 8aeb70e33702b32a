"""A stage's fingerprint changes when what it computes may change, and only then."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from dataflow.incremental.constants import stable_text
from dataflow.incremental.fingerprint import code_fingerprint

CODE = '''
"""A module of the user's."""
import functools
import polars as pl
from . import other
from .other import shared as renamed

LIMIT = 3
CODES = {"b", "a", "c"}
EXPRESSION = pl.lit(pl.Series([1, 2, 3]))
TABLE = pl.DataFrame({"a": [1, 2]})
NESTED = {"k": [{"y", "x"}, (1, 2.5)], "none": None}

def noisy(function):
    @functools.wraps(function)
    def wrapper(frame):
        return function(frame).head(7)
    return wrapper

def helper(frame, sign=1):
    """What it does."""
    # why it does so
    return frame.filter(pl.col("a") > sign * LIMIT)

def clean(frame: pl.LazyFrame) -> pl.LazyFrame:
    """A docstring."""
    kept = [c for c in CODES if helper]  # a comment
    return helper(frame).filter(pl.col("c").is_in(kept)).with_columns(EXPRESSION)

def by_module(frame):
    return other.shared(frame)

def by_name(frame):
    return renamed(frame)

@noisy
def decorated(frame):
    return frame

def looks_up(frame):
    return frame.join(TABLE.lazy(), on="a").with_columns(pl.lit(str(NESTED)))

@functools.lru_cache
def cached(frame):
    return helper(frame)

class Base:
    def shift(self, frame):
        return frame.head(2)

class Cleaner(Base):
    """A class."""
    step = 4
    def __init__(self, size):
        self.size = size
        self.me = self
    def __call__(self, frame):
        return helper(self.shift(frame)).head(self.size)
    @staticmethod
    def still(frame):
        return frame
    @property
    def half(self):
        return self.size / 2

def uses_class(frame):
    return Cleaner(2)(frame)

def recursive(frame, n=3):
    return recursive(frame, n - 1) if n else frame

def default_function(frame, using=helper, *, marks={"q", "p"}):
    return using(frame)

partial = functools.partial(helper, sign=2)
partial_of_function = functools.partial(default_function, using=by_module)

def uses_partial(frame):
    return partial(frame)

def make(factor):
    def inner(frame):
        return frame.head(factor)
    return inner

def late_cell():
    def inner(frame):
        return later
    if False:
        later = 1
    return inner

def two_of_a_name():
    first, second = make(1), make(2)
    def both(frame):
        return second(first(frame))
    return both

typed = lambda frame: frame.filter(pl.col("c").is_in({"x", "y", "z"}) & ("q" in {"aa", "bb", "cc"}))
class Unprintable:
    def __init__(self): self.inside = object()
THING = Unprintable()

def uses_thing(frame):
    return frame if THING else None
'''
OTHER = """
from . import third
SCALE = 2
def shared(frame):
    return third.deep(frame).head(SCALE)
"""
THIRD = """
def deep(frame):
    return frame.head(9)
"""
NAMES = [
    *("helper", "clean", "by_module", "by_name", "decorated", "looks_up", "cached", "Cleaner", "uses_class"),
    *("recursive", "default_function", "partial", "partial_of_function", "uses_partial", "typed", "uses_thing"),
]
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    name: lambda module, name=name: getattr(module, name) for name in NAMES
} | {
    "instance": lambda module: module.Cleaner(5),
    "method": lambda module: module.Cleaner(5).shift,
    "closure": lambda module: module.make(5),
    "late_cell": lambda module: module.late_cell(),
    "two_of_a_name": lambda module: module.two_of_a_name(),
}


class Writer:
    """Writes the user's package and imports it anew."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.count = 0
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def package(self, code: str = CODE, other: str = OTHER, third: str = THIRD) -> ModuleType:
        """The user's module ``code`` of a package that is imported from its files as they are now."""
        for name in [n for n in sys.modules if n.partition(".")[0] == "usercode"]:
            del sys.modules[name]
        package = self.folder / "usercode"
        package.mkdir(exist_ok=True)
        for name, text in {"__init__": "", "code": code, "other": other, "third": third}.items():
            (package / f"{name}.py").write_text(text)
            # Python and linecache compare times and sizes: make the time another each time.
            self.count += 1
            os.utime(package / f"{name}.py", (self.count, self.count))
        importlib.invalidate_caches()
        return importlib.import_module("usercode.code")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    yield Writer(tmp_path, monkeypatch)
    for name in [n for n in sys.modules if n.partition(".")[0] == "usercode"]:
        del sys.modules[name]


def changes(write: Writer, name: str, *, code: str = CODE, other: str = OTHER, third: str = THIRD) -> bool:
    before = code_fingerprint(FUNCTIONS[name](write.package()))
    return before != code_fingerprint(FUNCTIONS[name](write.package(code, other, third)))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("clean", 'filter(pl.col("c").is_in(kept))', 'filter(~pl.col("c").is_in(kept))'),
        ("clean", "sign * LIMIT", "sign + LIMIT"),
        ("clean", "LIMIT = 3", "LIMIT = 4"),
        ("clean", '{"b", "a", "c"}', '{"b", "a", "d"}'),
        ("clean", "[1, 2, 3]", "[1, 2, 4]"),
        ("helper", "sign=1", "sign=2"),
        ("looks_up", '{"a": [1, 2]}', '{"a": [1, 3]}'),
        ("looks_up", "2.5", "2.75"),
        ("decorated", "head(7)", "head(8)"),
        ("decorated", "def decorated(frame):\n    return frame", "def decorated(frame):\n    return frame.head()"),
        ("cached", "sign * LIMIT", "sign + LIMIT"),
        ("Cleaner", "head(self.size)", "tail(self.size)"),
        ("instance", "head(self.size)", "tail(self.size)"),
        ("instance", "LIMIT = 3", "LIMIT = 4"),
        ("instance", "step = 4", "step = 5"),
        ("instance", "self.size / 2", "self.size / 3"),
        ("method", "head(2)", "head(3)"),
        ("uses_class", "head(2)", "head(3)"),
        ("uses_class", "LIMIT = 3", "LIMIT = 4"),
        ("recursive", "n - 1", "n - 2"),
        ("default_function", "LIMIT = 3", "LIMIT = 4"),
        ("default_function", '{"q", "p"}', '{"q", "r"}'),
        ("partial", "sign=2", "sign=3"),
        ("partial", "LIMIT = 3", "LIMIT = 4"),
        ("partial_of_function", "using=by_module", "using=by_name"),
        ("uses_partial", "sign=2", "sign=3"),
        ("closure", "head(factor)", "tail(factor)"),
        ("two_of_a_name", "make(2)", "make(3)"),
        ("two_of_a_name", "make(1)", "make(3)"),
        ("two_of_a_name", "make(1), make(2)", "make(2), make(1)"),
        ("typed", '"z"}', '"w"}'),
        ("typed", '"cc"}', '"dd"}'),
        ("uses_thing", "self.inside = object()", "self.inside = 5"),
    ],
)
def test_a_change_that_may_matter_is_seen(write: Writer, name: str, old: str, new: str) -> None:
    assert old in CODE
    assert changes(write, name, code=CODE.replace(old, new))


@pytest.mark.parametrize("name", ["by_module", "by_name", "partial_of_function"])
def test_changes_in_other_modules_of_the_users_are_seen_however_deep(write: Writer, name: str) -> None:
    assert changes(write, name, other=OTHER.replace("SCALE = 2", "SCALE = 3"))
    assert changes(write, name, third=THIRD.replace("head(9)", "head(8)"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_comments_docstrings_layout_and_order_do_not_count(write: Writer, name: str) -> None:
    code = (
        CODE.replace('"""A docstring."""', '"""Another docstring."""')
        .replace("# a comment", "# another comment, longer")
        .replace("# why it does so", "# for no reason")
        .replace('"""What it does."""\n', "")
        .replace('"""A class."""', '"""Another."""')
        .replace('{"b", "a", "c"}', '{"c",\n   "b", "a"}')
        .replace("return frame.head(factor)", "return frame.head(\n            factor\n        )")
        .replace('{"x", "y", "z"}', '{"z", "y", "x"}')
    )
    assert not changes(write, name, code=f"\n\n# new heading\n{code}", other=f"# heading\n{OTHER}")


@pytest.mark.parametrize("name", ["clean", "by_module", "closure", "typed", "recursive"])
def test_code_that_is_not_used_does_not_count(write: Writer, name: str) -> None:
    unused = (
        CODE.replace('{"a": [1, 2]}', '{"a": [1, 3]}').replace("head(7)", "head(8)").replace("step = 4", "step = 5")
    )
    assert not changes(write, name, code=f"{unused}\ndef unused(frame):\n    return 1\n")


def test_each_function_has_a_fingerprint_of_its_own(write: Writer) -> None:
    module = write.package()
    found = [code_fingerprint(f(module)) for f in FUNCTIONS.values()]

    assert len(found) == len(set(found))


def test_lambdas_on_one_line_are_told_apart() -> None:
    first, second = (lambda frame: frame.head(1)), (lambda frame: frame.head(2))

    assert code_fingerprint(first) != code_fingerprint(second)


def test_closures_with_other_values_are_others(write: Writer) -> None:
    module = write.package()

    assert code_fingerprint(module.make(1)) == code_fingerprint(module.make(1))
    assert code_fingerprint(module.make(1)) != code_fingerprint(module.make(2))
    assert code_fingerprint(module.Cleaner(1)) != code_fingerprint(module.Cleaner(2))
    assert code_fingerprint(module.Cleaner(1).shift) != code_fingerprint(module.Cleaner(2).shift)


def test_keywords_of_a_partial_are_not_mixed_up(write: Writer) -> None:
    helper = write.package().helper
    assert code_fingerprint(functools.partial(helper, a=1, b=2)) != code_fingerprint(
        functools.partial(helper, b=1, a=2)
    )
    assert code_fingerprint(functools.partial(helper, 1)) != code_fingerprint(functools.partial(helper, 2))


def test_functions_without_source_go_by_their_byte_code() -> None:
    def typed_in(text: str) -> Callable[..., Any]:
        names: dict[str, Any] = {"__name__": "__console__"}
        exec(text, names)
        return names["f"]

    one = "def f(frame):\n    return [c for c in frame if c in {'x', 'y'}]"
    assert code_fingerprint(typed_in(one)) == code_fingerprint(typed_in(f"\n\n{one}"))
    assert code_fingerprint(typed_in(one)) != code_fingerprint(typed_in(one.replace("'y'", "'z'")))
    assert code_fingerprint(typed_in("class f:\n    a = 1")) == code_fingerprint(typed_in("class f:\n    a = 1"))


def test_installed_code_counts_by_name_and_polars_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    import pydantic

    def task(frame: pl.LazyFrame) -> Any:
        return pydantic.create_model("x"), os.path.join("a"), frame

    before = code_fingerprint(task)
    monkeypatch.setattr(pydantic, "create_model", lambda: None)
    assert before == code_fingerprint(task)
    monkeypatch.setattr(pl, "__version__", "99.0")
    assert before != code_fingerprint(task)


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import functools
import usercode.code as code
from dataflow.incremental.fingerprint import code_fingerprint

MARKS = {{"one", "two", "three"}}

class Local:
    def __init__(self):
        self.marks = frozenset({{"x", "y", "z"}})
    def __call__(self, frame):
        return helper(frame)

def helper(frame):
    return frame if "q" in {{"aa", "bb", "cc"}} else MARKS

def main(frame):
    return helper(frame)

for thing in (
    main, Local(), Local().__call__, functools.partial(main, helper), lambda frame: frame if "q" in {{"dd", "ee", "ff"}} else helper(frame),
    code.clean, code.Cleaner(5), code.partial_of_function, code.looks_up, code.typed, code.uses_thing, code.default_function, code.decorated,
):
    print(code_fingerprint(thing))
"""


def test_every_process_finds_the_same_fingerprints(write: Writer, tmp_path: Path) -> None:
    write.package()
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(folder=str(tmp_path))))
    answers = [
        subprocess.run(
            [sys.executable, "-W", "ignore", str(script)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2", "3")
    ]

    assert answers[0] == answers[1] == answers[2]
    assert 13 == len(set(answers[0]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b", "a"}, "{'a', 'b'}"),
        (frozenset({2, 1}), "{1, 2}"),
        ([{"b", "a"}, (1,)], "[{'a', 'b'}, (1)]"),
        ({"k": {"b", "a"}}, "{'k': {'a', 'b'}}"),
        (None, "None"),
        (pl.Datetime("us", "UTC"), "Datetime(time_unit='us', time_zone='UTC')"),
    ],
)
def test_constants_as_text(value: object, text: str) -> None:
    assert text == stable_text(value)


def test_constants_without_a_stable_text_lose_their_address() -> None:
    assert "at 0x" not in stable_text(object())
    assert "at 0x" not in stable_text(pl.col("a").map_elements(abs, return_dtype=pl.Int64))


def test_a_constant_that_holds_itself() -> None:
    loop: list[object] = [1]
    loop.append(loop)
    assert "[1, ...]" == stable_text(loop)


def test_frames_count_by_content() -> None:
    long = pl.DataFrame({"a": range(1000)})
    other = long.with_columns(a=pl.when(pl.col("a") == 500).then(0).otherwise(pl.col("a")))
    assert str(long) == str(other), "their printed forms are the same"
    assert stable_text(long) != stable_text(other)
    assert stable_text(long["a"]) != stable_text(other["a"])
    assert stable_text(long.lazy().head(1)) != stable_text(long.lazy().head(2))
    assert stable_text(pl.lit(long["a"])) != stable_text(pl.lit(other["a"]))
