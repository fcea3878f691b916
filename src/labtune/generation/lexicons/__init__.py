"""Word lists and question frames, as data."""
