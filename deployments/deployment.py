"""What a deployment declares, and how all declarations are found."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from prefect import Flow
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron

from dataflow.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
MACHINERY = ("__init__", "apply", "deployment", "serve")


@dataclass(frozen=True)
class Deployment:
    """A flow, when it runs and with which parameters; its name is its module's, which is its flow's."""

    flow: Flow[..., Any]
    cron: str
    timezone: str = "UTC"
    parameters: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.flow.fn.__name__

    @property
    def entrypoint(self) -> str:
        """Where Prefect finds the flow in the checkout: the variable named as the module."""
        return f"deployments/{self.name}.py:{self.name}"

    def in_prefect(self) -> RunnerDeployment:
        """The declaration in Prefect's terms."""
        made: Any = self.flow.to_deployment(
            self.name,
            schedule=Cron(self.cron, timezone=self.timezone),
            parameters=self.parameters,
            description=self.flow.description,
            _sync=True,  # type: ignore[call-arg]
        )
        made.entrypoint = self.entrypoint  # Prefect would name the function's module, which made the flow
        return made


def declared(folder: Path = Path(__file__).parent) -> list[Deployment]:
    """All deployments that the folder's modules declare, each as its ``deployment``.

    Errors: one ConfigError that lists every module that cannot be imported or declares none.
    """
    found: list[Deployment] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*.py")):
        if path.stem in MACHINERY:
            continue
        try:
            found.append(_deployment(path))
        except Exception as error:
            problems.append(f"{path.name}: {type(error).__name__}: {error}")
    if not found and not problems:
        problems.append(f"{folder}: no module declares a deployment")
    if problems:
        raise ConfigError("nothing was deployed, for these cannot be: " + "; ".join(problems), problems=problems)
    return found


def _deployment(path: Path) -> Deployment:
    deployment = getattr(_imported(path), "deployment", None)
    if not isinstance(deployment, Deployment):
        raise ConfigError(f"declare `deployment = Deployment({path.stem}, cron=...)`")
    if deployment.name != path.stem:
        raise ConfigError(f"its flow is named {deployment.name!r}: a flow's file and deployment share one name")
    return deployment


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"deployments.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(deployments: list[Deployment]) -> Iterator[str]:
    """One line for each deployment, for people."""
    for deployment in deployments:
        yield f"{deployment.flow.name}/{deployment.name}: {deployment.cron} ({deployment.timezone})"
