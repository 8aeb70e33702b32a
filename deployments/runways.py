"""The world's runways, every month."""

from __future__ import annotations

from deployments.deployment import Deployment
from tasks.deployable import deployable

runways = deployable("config/runways.yaml")
deployment = Deployment(runways, cron="0 7 2 * *")
