"""A benchmark's figures beside their limits, and the machine they were measured on."""

import operator
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pmpro_tui.cli.output import print_json
from pmpro_tui.cli.tables import print_table

_OPERATORS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le}


def report(
    name: str, figures: dict[str, float], limits: dict[str, tuple[str, float]], *, json: bool
) -> None:
    """Print a benchmark's figures against its limits."""
    passed = {
        figure: _OPERATORS[operator](figures[figure], limit)
        for figure, (operator, limit) in limits.items()
    }
    if json:
        print_json(
            {
                "bench": name,
                "figures": figures,
                "limits": limits,
                "ok": all(passed.values()),
                "machine": machine(),
            }
        )
        return
    rows = []
    for figure, value in figures.items():
        limit = " ".join(map(str, limits[figure])) if figure in limits else ""
        verdict = "ok" if passed.get(figure, True) else "TOO MUCH"
        rows.append((figure, f"{value:g}", limit, verdict))
    print_table(f"pmpro bench {name}", ("figure", "value", "limit", "verdict"), rows)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, and how busy it was."""
    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
