"""Checks of what a teacher model wrote: language, grounding, exam, repetition, coverage. No model needed."""
