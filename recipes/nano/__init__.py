"""Recipe of `builtin:nano`: writes its own text, trains a small Llama, makes its exam and replay set."""
