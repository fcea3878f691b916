"""Evaluation: exams, scorers, retention, verdicts."""
