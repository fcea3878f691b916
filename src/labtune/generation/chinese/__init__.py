"""Rules for Chinese: clauses and questions, without a segmenter."""
