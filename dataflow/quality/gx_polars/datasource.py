"""The data source: ``context.data_sources.add_polars(name)``, used as with pandas."""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

from typing import Any, ClassVar, Literal

from great_expectations.core.batch import LegacyBatchDefinition
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.batch_spec import RuntimeDataBatchSpec
from great_expectations.core.id_dict import IDDict
from great_expectations.datasource.fluent.batch_identifier_util import make_batch_identifier
from great_expectations.datasource.fluent.batch_request import BatchRequest
from great_expectations.datasource.fluent.constants import _DATA_CONNECTOR_NAME
from great_expectations.datasource.fluent.interfaces import Batch, DataAsset, Datasource
from great_expectations.exceptions.exceptions import BuildBatchRequestError, InvalidBatchRequestError

from .engine import PolarsExecutionEngine
from .files import BATCHES


class PolarsDataFrameAsset(DataAsset):
    """A DataFrame, a LazyFrame, a KnownFrame or ParquetFiles that is handed over when a checkpoint runs."""

    type: Literal["dataframe"] = "dataframe"

    def test_connection(self) -> None:
        """Nothing to connect to: the data arrives with the run."""

    def get_batch_parameters_keys(self, partitioner: Any = None) -> tuple[str, ...]:
        """The one batch parameter."""
        return ("dataframe",)

    def add_batch_definition_whole_dataframe(self, name: str) -> BatchDefinition:
        """A batch definition of the whole frame."""
        return self.add_batch_definition(name=name, partitioner=None)

    def build_batch_request(
        self, options: Any = None, batch_slice: Any = None, partitioner: Any = None
    ) -> BatchRequest:
        """The request for a batch.

        Errors: BuildBatchRequestError unless ``options`` is ``{"dataframe": batch}`` and nothing is sliced.
        """
        if batch_slice is not None or partitioner is not None:
            raise BuildBatchRequestError(message="batch_slice and partitioner do not apply to a Polars frame")
        if not options or set(options) != {"dataframe"} or not isinstance(options["dataframe"], BATCHES):
            raise BuildBatchRequestError(
                message="options must be {'dataframe': a polars DataFrame or LazyFrame, a KnownFrame or ParquetFiles}"
            )
        return BatchRequest(datasource_name=self.datasource.name, data_asset_name=self.name, options=options)

    def _validate_batch_request(self, batch_request: BatchRequest) -> None:
        ours = batch_request.datasource_name == self.datasource.name and batch_request.data_asset_name == self.name
        if not ours or set(batch_request.options) != {"dataframe"}:
            raise InvalidBatchRequestError(
                f"this batch request is not one for asset {self.name!r} of {self.datasource.name!r}"
            )

    def get_batch_identifiers_list(self, batch_request: BatchRequest) -> list[dict[Any, Any]]:
        """One batch: the frame."""
        return [IDDict(batch_request.options)]

    def get_batch(self, batch_request: BatchRequest) -> Batch:
        """The batch of a request."""
        self._validate_batch_request(batch_request)
        spec = RuntimeDataBatchSpec(batch_data=batch_request.options["dataframe"])
        data, markers = self.datasource.get_execution_engine().get_batch_data_and_markers(batch_spec=spec)
        definition = LegacyBatchDefinition(
            datasource_name=self.datasource.name,
            data_connector_name=_DATA_CONNECTOR_NAME,
            data_asset_name=self.name,
            batch_identifiers=make_batch_identifier(batch_request.options),
            batch_spec_passthrough=None,
        )
        return Batch(
            datasource=self.datasource,
            data_asset=self,
            batch_request=batch_request,
            data=data,
            metadata=self._get_batch_metadata_from_batch_request(
                batch_request=batch_request, ignore_options=("dataframe",)
            ),
            batch_markers=markers,
            batch_spec=spec,
            batch_definition=definition,
        )


class PolarsDatasource(Datasource):
    """Polars frames in memory or lazily scanned."""

    asset_types: ClassVar[list[type[DataAsset]]] = [PolarsDataFrameAsset]

    type: Literal["polars"] = "polars"
    assets: list[PolarsDataFrameAsset] = []

    @property
    def execution_engine_type(self) -> type[PolarsExecutionEngine]:
        """The engine that answers for this source."""
        return PolarsExecutionEngine

    def test_connection(self, test_assets: bool = True) -> None:
        """Nothing to connect to."""

    def add_dataframe_asset(self, name: str, batch_metadata: dict[str, Any] | None = None) -> PolarsDataFrameAsset:
        """An asset whose frame is handed over when a checkpoint runs."""
        make: Any = PolarsDataFrameAsset
        return self._add_asset(make(name=name, batch_metadata=batch_metadata or {}))
