"""The JSON schema of a configuration, for editors: with the options of every source and strategy that is installed."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from dataflow.config.blocks import SourceBlock, StrategiesConfig, StrategyBlock
from dataflow.config.includes import INCLUDE
from dataflow.config.models import SourceConfig, StrategyConfig
from dataflow.config.options import SOURCES, STRATEGIES, Family
from dataflow.config.pipeline import PipelineConfig
from dataflow.config.problems import spelled

Schema = dict[str, Any]
_INCLUDED: Schema = {"type": "string", "description": "A YAML file whose keys stand here; those beside it win."}
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"}


def json_schema() -> Schema:
    """The schema of a whole configuration file.

    Errors: ConfigError for an installed package whose source or strategy cannot be imported.
    """
    families = {SOURCES: SourceConfig, STRATEGIES: StrategyConfig}
    models = {family: {name: family.settings(name) for name in family.types.names} for family in families}
    ours = (PipelineConfig, SourceBlock, SourceConfig, StrategiesConfig, StrategyBlock, StrategyConfig)
    every = dict.fromkeys([*ours, *(model for named in models.values() for model in named.values())])
    refs, whole = models_json_schema([(model, "validation") for model in every], schema_generator=_Editors)
    defs: dict[str, Schema] = whole["$defs"]

    def at(model: type[BaseModel]) -> str:
        return refs[model, "validation"]["$ref"].rpartition("/")[2]

    def own(family: Family) -> dict[str, Schema]:
        return {name: defs[at(model)] for name, model in models[family].items()}

    for family, model in families.items():
        defs[at(model)] = _by_type(defs[at(model)], own(family))
    source, strategies = defs[at(SourceBlock)], defs[at(StrategiesConfig)]
    _without(source, "blocks")["properties"] |= {name: _loose(schema) for name, schema in own(SOURCES).items()}
    source["properties"]["type"]["enum"] = list(models[SOURCES])
    block = _loose(_without(defs.pop(at(StrategyBlock)), "options"))
    for name, schema in own(STRATEGIES).items():
        properties = {**block["properties"], **schema["properties"]}
        described = {"description": schema.get("description", "")}
        _without(strategies, "blocks")["properties"][name] = {**block, **described, "properties": properties}
    strategies["properties"]["enabled"]["items"] = {"enum": list(models[STRATEGIES])}
    pipeline = defs.pop(at(PipelineConfig))
    return {"$schema": GenerateJsonSchema.schema_dialect, **pipeline, "$defs": defs}


class _Editors(GenerateJsonSchema):
    """With what stands below fields in the code as their descriptions, and with what is read before a value is one."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        made = super().model_schema(schema)
        properties: dict[str, Schema] = made.get("properties", {})
        keys = spelled(schema["cls"])
        for name, text in described(schema["cls"]).items():
            properties.get(keys[name], {})["description"] = text
        for each in properties.values():
            each.pop("title", None)
        properties[INCLUDE] = _INCLUDED
        if required := made.pop("required", None):
            made["anyOf"] = [{"required": required}, {"required": [INCLUDE]}]
        return made

    def int_schema(self, schema: core_schema.IntSchema) -> Schema:
        return {"anyOf": [super().int_schema(schema), _REFERENCE]}

    def float_schema(self, schema: core_schema.FloatSchema) -> Schema:
        return {"anyOf": [super().float_schema(schema), _REFERENCE]}

    def bool_schema(self, schema: core_schema.BoolSchema) -> Schema:
        return {"anyOf": [super().bool_schema(schema), _REFERENCE]}

    def literal_schema(self, schema: core_schema.LiteralSchema) -> Schema:
        made = super().literal_schema(schema)
        # One value alone tells the members of a union apart.
        return {"anyOf": [made, _REFERENCE]} if len(schema["expected"]) > 1 else made


@cache
def described(model: type[BaseModel]) -> dict[str, str]:
    """The texts that stand below the fields of a model, by field.

    Example:
        >>> from dataflow.config import RunConfig
        >>> described(RunConfig)["threads"]
        'Steps at the same time.'
    """
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            found |= dict(_below_fields(kind))
    return {name: text for name, text in found.items() if name in model.model_fields}


def _below_fields(kind: type[BaseModel]) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # made by a program that has no file
        return
    body: list[ast.stmt] = getattr(tree.body[0], "body", [])
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, " ".join(str(text.value.value).replace("``", "`").split())


def _without(schema: Schema, field: str) -> Schema:
    schema["properties"].pop(field, None)
    return schema


def _loose(schema: Schema) -> Schema:
    """Of a block that may be inactive, or be completed from elsewhere, nothing is required."""
    kept = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**kept, "type": ["object", "null"]}


def _by_type(shared: Schema, own: dict[str, Schema]) -> Schema:
    """One schema for each type, told apart by ``type``; what the models require of the types is required."""
    members: list[Schema] = []
    for name, schema in own.items():
        properties = {**copy.deepcopy(_without(shared, "options")["properties"]), **schema["properties"]}
        properties["type"] = {"const": name, "description": schema.get("description", "")}
        member: Schema = {"title": name, "type": "object", "properties": properties, "additionalProperties": False}
        # A path may come from RAW_DATA_PATH.
        needed = [key for key in schema.get("anyOf", [{"required": []}])[0]["required"] if key != "path"]
        default = shared["properties"]["type"].get("default")
        member["anyOf"] = [{"required": [*([] if name == default else ["type"]), *needed]}, {"required": [INCLUDE]}]
        members.append(member)
    return {"description": shared.get("description", ""), "anyOf": members}
