"""The taxonomy: read, validate, lint, mend, fetch documents, curate."""
