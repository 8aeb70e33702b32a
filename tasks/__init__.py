"""Prefect tasks, one module per verb, and the runner that gives them to the engine."""

from tasks import settings as settings  # before anything of Prefect
