"""`python -m labtune` is `labtune`."""

from labtune.cli.main import main

main()
