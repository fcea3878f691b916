"""Taking a tuned model out of the lab: plain safetensors or GGUF, with the proof that it says the same."""
