"""Blocks of the pipelines that ask teacher models."""
