"""The block that says where a lake is and how it is opened."""

from __future__ import annotations

from typing import ClassVar, Self

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, HttpUrl, field_validator


class Lake(Block):
    """Where a data lake is and how it is opened.

    A deployment names it as `lake/BLOCK_NAME` in its `lake` parameter.

    Example:
        Load a stored lake:
        ```python
        from blocks import Lake

        lake = Lake.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str | None] = "Lake"
    _block_type_slug: ClassVar[str | None] = "lake"
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl("https://docs.delta.io/delta-storage/")

    uri: str = Field(
        min_length=1,
        description="Folder or object-store URI, such as `s3://bucket/lake`.",
        examples=["s3://bucket/lake", "/srv/lake"],
    )
    storage_options: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        title="Storage options",
        description="Credentials and settings of the object store, such as `AWS_ENDPOINT_URL`; kept secret.",
    )

    @field_validator("uri")
    @classmethod
    def _without_credentials(cls, uri: str) -> str:
        """A URI is shown everywhere: secrets in it would be, too."""
        if "@" in uri.partition("://")[2].partition("/")[0]:
            raise ValueError("a lake's URI is shown in logs and reports: put credentials into storage_options")
        return uri

    @classmethod
    def of(cls, uri: str, **options: str) -> Self:
        """A lake with plain storage options, which become secrets."""
        return cls(uri=uri, storage_options=SecretDict(dict(options)))

    @property
    def options(self) -> dict[str, str]:
        """The storage options in the clear, for whoever opens the lake."""
        return {key: str(value) for key, value in self.storage_options.get_secret_value().items()}
