"""`pmpro-tui`: the console, and with --daemon the engine itself.

Nothing heavy is imported before the first paint: settings are read and the engine is looked for
by a thread of the console. The last words of every run, and every error, are one line.
"""

import argparse
import gc
import os
import select
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from engine.model.errors import UserError
from engine.model.near import meant, nearest
from pmpro_tui.cli.doctor.surroundings import settle

PROGRAM = "pmpro-tui"


def main() -> None:
    """Run the command line and exit; the border of every error."""
    settle()
    arguments = parse(sys.argv[1:])
    try:
        code = run(arguments)
    except Exception as error:  # border: every failure becomes a line and an exit code
        if arguments.debug:
            raise
        from pmpro_tui.cli.errors import exit_code, one_line

        sys.stderr.write(f"{PROGRAM}: {one_line(error)}\n")
        code = exit_code(error)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; a wrong one ends the process with a line and code 2."""
    parser = _Parser(
        prog=PROGRAM,
        description="The console of the trading engine: attaches to the running engine, "
        "or starts one that outlives this terminal. One-shot commands: `pmpro`.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="use this configuration file")
    parser.add_argument(
        "--demo", action="store_true", help="use generated prices and a simulated account"
    )
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="with --demo: replay the bars in this directory"
    )
    parser.add_argument(
        "--strategies",
        metavar="DIR",
        type=Path,
        help="directory of your own strategies instead of strategies_dir, if an engine is started",
    )
    parser.add_argument(
        "--readonly", action="store_true", help="only look; the same as --as viewer"
    )
    parser.add_argument(
        "--as",
        dest="role",
        type=_role,
        metavar="ROLE",
        help="act in a lower role: viewer or operator",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--attach", action="store_true", help="only attach; if no engine answers, start none"
    )
    where.add_argument(
        "--daemon", action="store_true", help="run the engine in this process, without a console"
    )
    where.add_argument(
        "--inline",
        action="store_true",
        help="run the engine inside the console; the engine ends with the console",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        parser.refuse(unknown[0])
    if arguments.readonly:
        arguments.role = "viewer"
    arguments.readonly = arguments.role == "viewer"
    if arguments.data is not None and not arguments.demo:
        parser.error("--data needs --demo")
    return arguments


def _role(text: str) -> str:
    lower = ("viewer", "operator")
    if text not in lower:
        hint = meant(text, lower) or f": {' or '.join(lower)}"
        raise argparse.ArgumentTypeError(f"there is no lower role {text!r}{hint}")
    return text


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in a line, and what may have been meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROGRAM}: {message} (see `--help`)\n")

    def refuse(self, word: str) -> NoReturn:
        """End the process for a word that no option takes."""
        if not word.startswith("-"):
            self.error(f"unexpected argument {word!r}")
        near = nearest(word, self._option_string_actions)
        self.error(f"there is no option {word}" + (f", did you mean {near}?" if near else ""))


def run(arguments: argparse.Namespace) -> int:
    """Run what the options ask for and return the exit code."""
    if arguments.version:
        from importlib.metadata import version

        sys.stdout.write(f"pmpro {version('portfolio-manager-pro')}\n")
        return 0
    if arguments.daemon:
        from engine.child.output import take_streams

        take_streams()
        from pmpro_tui.launch.daemon import run_engine

        return run_engine(
            arguments.config,
            demo=arguments.demo,
            data=arguments.data,
            strategies=arguments.strategies,
        )
    return run_console(arguments)


def run_console(arguments: argparse.Namespace) -> int:
    """Show the console until it is left; in a browser where `pmpro web` runs it."""
    in_browser = "TEXTUAL_DRIVER" in os.environ
    # The screen is drawn on stderr.
    if not in_browser and not all(f.isatty() for f in (sys.stdin, sys.stdout, sys.stderr)):
        raise UserError(
            "the console needs a terminal for input, output and errors; "
            "`pmpro-tui --daemon` runs without one"
        )
    if in_browser:
        threading.Thread(target=_end_unread, daemon=True).start()
    from pmpro_tui.console.app import ConsoleApp
    from pmpro_tui.console.draw.text import shown_lines
    from pmpro_tui.launch.attach import Attachment

    attachment = Attachment(
        arguments.config,
        demo=arguments.demo,
        data=arguments.data,
        strategies=arguments.strategies,
        role=arguments.role,
        inline=arguments.inline,
        only_attach=arguments.attach,
    )
    try:
        app = ConsoleApp(
            attachment.open,
            mode="demo" if arguments.demo else "",
            readonly=arguments.readonly,
            sixteen=None,
            inline=arguments.inline,
        )
        gc.freeze()  # what is imported by now lives as long: no look through it delays a key
        last = app.run()
        app.hang_up.ended()
    finally:
        attachment.close()
    if isinstance(last, Exception):
        raise last
    if last and not in_browser:
        sys.stdout.write(f"{shown_lines(str(last))}\n")
    return app.return_code or 0


def _end_unread() -> None:
    """End this process once nobody can read its screen: whoever served it was killed."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        poll.poll()  # errors alone, and those come unasked
        os._exit(1)


if __name__ == "__main__":
    main()
