"""Example pipelines: the functions that a configuration under ``config/`` names."""
