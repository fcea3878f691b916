"""labtune: turn what people know into what a model knows (the LAB method, arXiv 2403.01081).

Importing this package loads nothing heavy; each command loads what it needs.
"""

__version__ = "0.1.0"
