"""Evaluation: exams, scorers, retention, verdicts.

Entry: `labtune.evaluation.evaluate.evaluate`; before training `before.ask_before`; while training
`select.development_score`.
"""
