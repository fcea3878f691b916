"""Ways to tune a student: all weights, low-rank adapters, or outside of protected directions."""
