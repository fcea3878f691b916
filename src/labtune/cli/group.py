"""The base of command groups: asking for a sub-command's help costs as little as it can."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class LightGroup(TyperGroup):
    """A group whose own `--help` option does not make typer load pydantic when it is not given.

    Typer brings its own copy of click, so the types of contexts and options have no public name: `Any`.
    """

    def get_help_option(self, ctx: Any) -> Any:
        """The help option, off by default: an unset flag (None) would be coerced, and that loads pydantic."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option
