"""Where work runs: in this process, on a Ray cluster, in the processes of one machine."""
