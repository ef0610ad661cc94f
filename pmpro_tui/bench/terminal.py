"""`pmpro bench terminal`: what the way to the terminal costs, the terminal's own time left out."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmpro_tui.bench.children import percentile
from pmpro_tui.cli.output import Json

if TYPE_CHECKING:
    from engine.terminal.gateway import Gateway

LIMITS: dict[str, tuple[str, float]] = {"terminal_call_p99_ms": ("<=", 1.0)}
_WARM_UP_CALLS = 100
# Calls come one by one in an engine, each to a host that has gone to sleep.
_PAUSE_S = 0.001


def terminal(
    calls: Annotated[int, typer.Option(min=100, help="Number of calls.")] = 3000,
    json: Json = False,
) -> None:
    """Time empty calls to the terminal, through a host that watches the demo's market."""
    from pmpro_tui.bench.report import report

    report("terminal", figures_of(call_times_ms(calls)), LIMITS, json=json)


def figures_of(times_ms: list[float]) -> dict[str, float]:
    """Return the figures of these calls."""
    return {f"terminal_call_p{p}_ms": percentile(times_ms, p) for p in (50, 99)}


def call_times_ms(n_calls: int) -> list[float]:
    """Return how long each call took, through gateway, pipe and host."""
    with tempfile.TemporaryDirectory(prefix="pmpro-bench-") as name:
        gateway = _watching_gateway(Path(name))
        try:
            for _ in range(_WARM_UP_CALLS):
                gateway.ping()
            return [_time_ms(gateway) for _ in range(n_calls)]
        finally:
            gateway.close()


def _time_ms(gateway: "Gateway") -> float:
    time.sleep(_PAUSE_S)
    began_s = time.perf_counter()
    gateway.ping()
    return 1000.0 * (time.perf_counter() - began_s)


def _watching_gateway(home: Path) -> "Gateway":
    from engine.portfolio.compile import compile_portfolio
    from engine.portfolio.file import read_portfolio
    from engine.runtime.terminal_start import DEMO_START_NS, host_config
    from engine.settings.settings import demo_portfolio, load_settings
    from engine.terminal.gateway import Gateway

    settings = load_settings(mode="demo", overrides={"state_dir": home, "demo.speed": 1.0})
    compiled = compile_portfolio(read_portfolio(demo_portfolio()))
    gateway = Gateway(host_config(settings, compiled, home, None), on_market=lambda update: None)
    try:
        gateway.start()
        gateway.connect()
        gateway.watch([spec.name for spec in compiled.symbols], DEMO_START_NS)
    except BaseException:
        gateway.close()
        raise
    return gateway
