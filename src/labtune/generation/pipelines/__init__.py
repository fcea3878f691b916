"""Pipelines that ship, as data."""
