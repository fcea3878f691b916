"""Recipe of `builtin:nano`: writes its own text, trains a small Llama on it, makes its exam and replay set."""
