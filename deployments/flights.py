"""New York's flights, every morning after the airports' night."""

from __future__ import annotations

from deployments.deployment import Deployment
from tasks.deployable import deployable

flights = deployable("config/flights.yaml")
deployment = Deployment(flights, cron="15 6 * * *", timezone="America/New_York")
