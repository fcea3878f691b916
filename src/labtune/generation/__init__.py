"""Generation: from seeds and chunks to checked samples."""
