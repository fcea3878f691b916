"""Every setting: one schema, one default, one sentence with its unit. Layered by `load`."""
