"""`pmpro doctor`: what this box lacks, each with its remedy."""

import typer

from engine.model.errors import PmproError
from pmpro_tui.cli.output import Config, Json, Mode, print_json
from pmpro_tui.cli.tables import print_table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(config: Config = None, mode: Mode = None, json: Json = False) -> None:
    """Check Python, packages, directories, database and terminal."""
    from pmpro_tui.cli.doctor.checks import examine

    findings = examine(config, mode)
    n_failed = sum(f.status == "fail" for f in findings)
    if json:
        print_json({"ok": n_failed == 0, "checks": findings})
    else:
        print_table(
            "pmpro doctor",
            ("check", "status", "finding", "remedy"),
            [(f.check, f.status.upper(), f.finding, f.remedy) for f in findings],
            texts=("finding", "remedy"),
        )
    if n_failed:
        raise PmproError(f"{n_failed} checks failed")
