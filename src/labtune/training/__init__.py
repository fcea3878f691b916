"""Training: phases, checkpoints, resume."""
