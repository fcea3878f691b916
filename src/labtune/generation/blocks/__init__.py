"""The steps of the built-in pipeline."""
