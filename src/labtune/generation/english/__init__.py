"""Rules for English: words, clauses, questions."""
