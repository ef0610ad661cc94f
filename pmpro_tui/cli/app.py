"""What every command's parser has in common.

Help is plain text: `[risk]` is a word and no markup. A summary is never cut, and on a pipe a help
text is not wrapped either, so that a search finds all of an option's line. An argument may be a
negative number.
"""

import re
import shutil
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+|inf)(e[+-]?\d+)?%?", re.IGNORECASE)
_WIDTH_MAX = 110
_NO_END = 10_000


class App(typer.Typer):
    """A group of commands; without a command it shows its help."""

    def __init__(self, **settings: Any) -> None:
        own = {"no_args_is_help": True, "cls": _Group, "rich_markup_mode": None}
        columns = min(shutil.get_terminal_size().columns, _WIDTH_MAX)
        width = columns if sys.stdout.isatty() else _NO_END
        super().__init__(**{**own, "context_settings": {"terminal_width": width}, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Add a command."""
        return super().command(name, **{"cls": _Command, **settings})


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, with negative numbers behind `--` where they are no option's value."""
        if ctx.allow_interspersed_args:
            args = _numbers_apart(args, self._with_value(ctx))
        return super().parse_args(ctx, args)

    def _with_value(self, ctx: Any) -> set[str]:
        """Return the options that take what follows them."""
        options = [p for p in self.get_params(ctx) if p.param_type_name == "option"]
        taking = [p for p in options if not getattr(p, "is_flag", False)]
        return {name for p in taking for name in p.opts}


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; without a command the help says what to write."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            sys.stderr.write(f"{ctx.get_help()}\n")
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the whole of its summary."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(_NO_END))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _numbers_apart(args: list[str], with_value: set[str]) -> list[str]:
    """Return arguments with all positional ones at the end, in order, if one is negative."""
    options: list[str] = []
    positional: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            positional.extend(rest)
        elif _NUMBER.fullmatch(arg) or not arg.startswith("-") or arg == "-":
            positional.append(arg)
        else:
            options.append(arg)
            if arg in with_value:
                options.extend(value for value in [next(rest, None)] if value is not None)
    if not any(_NUMBER.fullmatch(arg) for arg in positional):
        return args
    return [*options, "--", *positional]
