"""The `labtune` command: a visible table of commands, loaded when they are used, and the one error presenter.

`labtune --help` imports no command; `labtune train --help` imports `labtune.cli.train` only, and no command
module imports anything heavy before its body runs.
"""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from labtune import __version__
from labtune.cli.document import print_document
from labtune.cli.group import LightGroup
from labtune.cli.presenter import present
from labtune.errors import LabtuneError, UserError

INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143


class Entry(NamedTuple):
    """Where a command lives and what `labtune --help` says about it."""

    module: str
    attribute: str
    group: str
    help: str


COMMANDS: dict[str, Entry] = {
    "init": Entry("labtune.cli.init", "init", "Begin", "Make a lab: from an example, a git URL or nothing."),
    "new": Entry("labtune.cli.new", "new", "Begin", "Write a leaf to fill in, with draft seeds."),
    "check": Entry("labtune.cli.check", "check", "Begin", "Validate the taxonomy; --fix mends what it can."),
    "run": Entry("labtune.cli.run", "run", "Teach", "Do all stages that are out of date."),
    "generate": Entry("labtune.cli.generate", "generate", "Teach", "Expand the taxonomy into samples."),
    "mix": Entry("labtune.cli.mix", "mix", "Teach", "Put the phases' training sets together."),
    "train": Entry("labtune.cli.train", "train", "Teach", "Tune the student, phase by phase."),
    "evaluate": Entry("labtune.cli.evaluate", "evaluate", "Teach", "Score what was learned and kept."),
    "chat": Entry("labtune.cli.chat", "chat", "Use", "Talk to the tuned student."),
    "serve": Entry("labtune.cli.serve", "serve", "Use", "Serve a model with OpenAI's API."),
    "export": Entry("labtune.cli.export", "export", "Use", "Write the tuned model as GGUF or safetensors."),
    "trace": Entry("labtune.cli.trace", "trace", "Look", "Say where a sample came from and went to."),
    "journal": Entry("labtune.cli.journal", "app", "Look", "Count, show and prune what teachers replied."),
    "config": Entry("labtune.cli.config", "app", "Look", "Explain settings and where they come from."),
    "doctor": Entry("labtune.cli.doctor", "doctor", "Look", "Say what this machine or an endpoint can do."),
}
RESUMABLE = frozenset({"run", "generate", "mix", "train", "evaluate"})


class LazyGroup(LightGroup):
    """A group that knows its commands from the table and imports one when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command's module and make the command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        target = getattr(import_module(entry.module), entry.attribute)
        if not isinstance(target, typer.Typer):
            function, target = target, typer.Typer(add_completion=False, rich_markup_mode=None)
            target.command(cmd_name)(function)
        command = typer.main.get_command(target)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; an unknown name is answered with the nearest."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean 'labtune {near[0]}'?" if near else "labtune --help"
            raise UserError(f"there is no command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. A reader that went away (`labtune ... | head`) ends it quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            _discard_output()
            raise typer.Exit(PIPE_CLOSED) from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by group from the table, importing none of them."""
        width = max(map(len, COMMANDS))
        for group in dict.fromkeys(entry.group for entry in COMMANDS.values()):
            with formatter.section(group):
                formatter.write_dl(
                    [
                        (name.ljust(width), entry.help)
                        for name, entry in COMMANDS.items()
                        if entry.group == group
                    ]
                )


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"labtune {__version__}")
        raise typer.Exit


# No completion options: typer would load pydantic for them with every command's help (60 ms).
app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback(epilog="A first lab:  labtune init --example customer-service first-lab")
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Turn what people know into what a model knows: taxonomy, samples, phased tuning, proof."""


_OF_THE_DISK = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EEXIST, errno.ENOTDIR}
)
"""What the machine says no to, though labtune is sound: no bugs, so one sentence and no traceback."""


def main() -> None:
    """The console script: run one command and exit with its code."""
    # Ended from outside: leave through the blocks that give the terminal back and free the lab.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(TERMINATED))
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and present what goes wrong; a bug keeps its traceback.

    Returns:
        0 done, 1 findings or a failed gate, 2 the user's input, 3 model, 4 engine, 5 stage, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Answers may hold characters that the terminal's encoding lacks; that must not end a run.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = typer.main.get_command(app)(args=list(arguments), prog_name="labtune", standalone_mode=False)
        sys.stdout.flush()
    except LabtuneError as error:
        return _fail(arguments, type(error).__name__, error.message, error.hint, error.exit_code)
    except typer.TyperException as error:
        return _misused(arguments, error)
    except typer.Abort:
        return _interrupted(arguments)
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    except OSError as error:
        if error.errno not in _OF_THE_DISK or error.filename is None:
            raise
        message = f"{error.filename}: {str(error.strerror).lower()}"
        hint = "mend that place (rights, space, a file where a folder belongs) and run again"
        return _fail(arguments, type(error).__name__, message, hint, UserError.exit_code)
    if code == INTERRUPTED:
        return _interrupted(arguments)
    return code if isinstance(code, int) else 0


def _fail(arguments: Sequence[str], kind: str, message: str, hint: str | None, code: int) -> int:
    present(message, hint)
    if "--json" in arguments:
        error = {"kind": kind, "message": message, "hint": hint, "exit_code": code}
        print_document(_verb(arguments), {"error": error})
    return code


def _misused(arguments: Sequence[str], error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return UserError.exit_code
    path = context.command_path if context is not None else "labtune"
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    return _fail(
        arguments, "UsageError", message[:1].lower() + message[1:], f"{path} --help", UserError.exit_code
    )


def _interrupted(arguments: Sequence[str]) -> int:
    again = f" What was finished is kept; go on with: {shlex.join(['labtune', *arguments])}"
    typer.echo(f"stopped.{again if _verb(arguments) in RESUMABLE else ''}", err=True)
    return INTERRUPTED


def _verb(arguments: Sequence[str]) -> str:
    return next((argument for argument in arguments if not argument.startswith("-")), "")


def _discard_output() -> None:
    # The reader went away; what is still buffered must not raise again when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
