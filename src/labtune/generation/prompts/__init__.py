"""Prompts that ship, one folder each, one file for each language."""
