"""A validation definition that brings its own data. Imported only where a gate runs: Great Expectations takes seconds."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from typing import Any

from great_expectations.compatibility import pydantic
from great_expectations.core.validation_definition import ValidationDefinition

from dataflow.quality.gx_polars.files import KnownFrame


class StagedValidation(ValidationDefinition):
    """A validation definition with its frame: a checkpoint hands all of its definitions the same parameters."""

    _staged: Any = pydantic.PrivateAttr()  # pyright: ignore[reportPrivateImportUsage]

    def bring(self, staged: KnownFrame) -> StagedValidation:
        """The same definition, which is going to judge ``staged``."""
        self._staged = staged
        return self

    def run(self, *, batch_parameters: Any = None, **settings: Any) -> Any:
        """What the expectations say of the frame that was brought."""
        return super().run(batch_parameters={"dataframe": self._staged}, **settings)
