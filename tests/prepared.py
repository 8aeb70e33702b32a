"""A folder that takes some runs to make: made once, put back as it was for every test."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path


class Prepared:
    """What ``make`` leaves in ``place``, which stays the place of every test: a journal knows files by their whole path."""

    def __init__(self, place: Path, make: Callable[[Path], object]) -> None:
        place.mkdir(parents=True)
        with contextlib.chdir(place):
            make(place)
        self.place, self._kept = place, place.with_name(f"{place.name}-kept")
        shutil.copytree(place, self._kept)

    def restore(self) -> Path:
        """The folder as ``make`` left it, with the files' own times."""
        shutil.rmtree(self.place)
        shutil.copytree(self._kept, self.place)
        return self.place
