"""Message events, every quarter of an hour."""

from __future__ import annotations

from deployments.deployment import Deployment
from tasks.deployable import deployable

events = deployable("config/events.yaml")
deployment = Deployment(events, cron="*/15 * * * *")
