"""Serving: chat sessions with a tuned model."""
