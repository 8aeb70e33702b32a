"""How results of tasks are kept: JSON of the library's own models, nothing that runs when read."""

from __future__ import annotations

import json
from typing import Any

from prefect.serializers import Serializer
from pydantic import BaseModel, Field

from dataflow import errors, model


class ModelSerializer(Serializer):
    """Models of ``dataflow.model``, tuples and lists of them, plain values and exceptions, as JSON.

    Errors: TypeError for a value that would not come back as it went.
    """

    type: str = Field(default="dataflow", frozen=True)

    def dumps(self, obj: Any) -> bytes:
        return json.dumps(_tagged(obj)).encode()

    def loads(self, blob: bytes) -> Any:
        return _untagged(json.loads(blob))


def _tagged(value: Any) -> Any:
    match value:
        case BaseModel() if type(value).__name__ in model.__all__:
            return {"model": type(value).__name__, "value": value.model_dump(mode="json")}
        case tuple():
            return {"tuple": [_tagged(item) for item in value]}
        case list():
            return [_tagged(item) for item in value]
        case errors.DataFlowError():
            return {"error": type(value).__name__, "message": value.message, "details": _readable(value.details)}
        case BaseException():
            return {"error": errors.StageFailed.__name__, "message": f"{type(value).__name__}: {value}", "details": {}}
        case None | str() | bool() | int() | float():
            return value
        case _:
            raise TypeError(
                f"a step with a key must return models of dataflow.model, or tuples of them, "
                f"not {type(value).__module__}.{type(value).__name__}"
            )


def _untagged(value: Any) -> Any:
    match value:
        case list():
            return [_untagged(item) for item in value]
        case {"model": name, "value": fields}:
            return getattr(model, name).model_validate(fields)
        case {"tuple": items}:
            return tuple(_untagged(item) for item in items)
        case {"error": name, "message": message, "details": details}:
            return getattr(errors, name)(message, **{key: _untagged(item) for key, item in details.items()})
        case _:
            return value


def _readable(details: dict[str, Any]) -> dict[str, Any]:
    """Details of an error that can be kept; a frame or a handle among them is told in words."""
    kept: dict[str, Any] = {}
    for key, value in details.items():
        try:
            kept[key] = _tagged(value)
        except TypeError:
            kept[key] = str(value)
    return kept
