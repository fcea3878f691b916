"""Where work runs: the local machine (later a cluster)."""
