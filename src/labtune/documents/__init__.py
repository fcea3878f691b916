"""Documents: load files as clean text with places, split them into sentences and chunks."""
