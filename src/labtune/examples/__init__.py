"""Example labs that ship with labtune: `labtune init --example NAME` copies one of these folders."""
