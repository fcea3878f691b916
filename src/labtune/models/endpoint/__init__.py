"""Teachers and judges behind an OpenAI-compatible endpoint."""
