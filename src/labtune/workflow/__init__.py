"""Workflow: the stage table, runs, resume, and what each command calls."""
