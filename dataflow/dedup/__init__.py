"""Removing duplicates: one module per strategy."""
