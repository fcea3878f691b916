"""torchrun's agent as a child of labtune: it ends its gang when labtune ends, however that ends.

`python -m labtune.engine.agent PARENT ARGUMENTS OF TORCHRUN`, PARENT being labtune's process.
"""

from __future__ import annotations

import sys

from labtune.engine.lifeline import die_with_parent


def main() -> None:
    """Run the agent."""
    die_with_parent(int(sys.argv[1]))
    from torch.distributed.run import main as run

    run(sys.argv[2:])


if __name__ == "__main__":
    main()
