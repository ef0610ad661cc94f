"""`pmpro bench console`: a real console on a pseudo-terminal of 120×40, and the engine beside it.

The console's own figures are of a scripted engine of 200 strategies whose picture changes four
times a second; what publishing costs is measured in a real engine with a console attached.
"""

import os
import random
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from engine.model.errors import PmproError
from engine.model.views.snapshot import Command, Reply, Snapshot
from pmpro_tui.bench.children import percentile
from pmpro_tui.bench.scripted_snapshots import N_STRATEGIES, ScriptedSnapshots
from pmpro_tui.cli.output import Json

if TYPE_CHECKING:
    from engine.control.messages import Actor
    from engine.settings.settings import Settings

LIMITS: dict[str, tuple[str, float]] = {
    "first_paint_s": ("<=", 0.6),
    "key_to_action_p99_ms": ("<=", 50.0),
    "console_cpu_pct": ("<=", 8.0),
    "publish_cpu_pct": ("<=", 2.0),
    "terminal_kb_s": ("<=", 20.0),
}
SIZE = (120, 40)
_EVERY_S = 0.25
_SCREENS = {"overview": "1", "strategies": "2"}
_DEADLINE_S = 30.0
_KEY_PAUSE_S = 0.05
_SETTLE_S = 2.0
# A row of the picture that stands at the top of its table.
_ROW = b"eur-ma-000"


def console(
    seconds: Annotated[float, typer.Option(min=1, help="Seconds per screen.")] = 20.0,
    json: Json = False,
) -> None:
    """Measure the console in a real terminal: first paint, keys, processor time, traffic."""
    from pmpro_tui.bench.report import report

    figures = console_figures(seconds) | publish_figures(seconds)
    report("console", figures, LIMITS, json=json)


def console_figures(
    seconds: float, *, n_starts: int = 5, n_keys: int = 200, settle_s: float = _SETTLE_S
) -> dict[str, float]:
    """Return what the console takes of a core and sends to its terminal, and how fast it is."""
    with tempfile.TemporaryDirectory(prefix="pmb") as name, _scripted(Path(name)) as engine:
        first = []
        for _ in range(n_starts):
            with _Console(engine.config) as shown:
                first.append(shown.read_until(_ROW))
        with _Console(engine.config) as shown:
            shown.read_until(_ROW)
            shown.read_for(settle_s)
            loads = {
                (screen, frac): _load(shown, engine, key, frac, seconds, settle_s)
                for screen, key in _SCREENS.items()
                for frac in (0.3, 1.0)
            }
            keys_ms, all_rows_keys_ms = (_keys_ms(shown, engine, f, n_keys) for f in (0.3, 1.0))
    worst = {frac: [loads[screen, frac] for screen in _SCREENS] for frac in (0.3, 1.0)}
    return {
        "first_paint_s": round(statistics.median(first), 3),
        "key_to_action_p50_ms": percentile(keys_ms, 50),
        "key_to_action_p99_ms": percentile(keys_ms, 99),
        "key_to_action_all_rows_p99_ms": percentile(all_rows_keys_ms, 99),
        "console_cpu_pct": max(cpu for cpu, _ in worst[0.3]),
        "console_cpu_all_rows_pct": max(cpu for cpu, _ in worst[1.0]),
        "terminal_kb_s": max(kb for _, kb in worst[0.3]),
        "terminal_all_rows_kb_s": max(kb for _, kb in worst[1.0]),
        "console_rss_mb": round(shown.rss_mb, 1),
    }


def _load(
    shown: "_Console",
    engine: "_Scripted",
    key: str,
    changed_frac: float,
    seconds: float,
    settle_s: float,
) -> tuple[float, float]:
    """Return percent of a core and kB a second on a screen while so many rows change."""
    engine.changed_frac = changed_frac
    shown.press(key)
    shown.read_for(settle_s)
    cpu_s, n_bytes, began_s = shown.cpu_s(), shown.n_bytes, time.monotonic()
    shown.read_for(seconds)
    took_s = time.monotonic() - began_s
    return (
        round(100.0 * (shown.cpu_s() - cpu_s) / took_s, 2),
        round((shown.n_bytes - n_bytes) / took_s / 1000.0, 2),
    )


def _keys_ms(
    shown: "_Console", engine: "_Scripted", changed_frac: float, n_keys: int
) -> list[float]:
    """Return how long after each `K` the engine was told, while so many rows change."""
    engine.changed_frac = changed_frac
    shown.press(_SCREENS["strategies"])
    shown.read_for(_KEY_PAUSE_S)
    out = []
    for _ in range(n_keys):
        engine.acted.clear()
        began_s = time.monotonic()
        shown.press("K")
        while not engine.acted.is_set():
            shown.read_for(0.001)
            if time.monotonic() - began_s > _DEADLINE_S:
                raise PmproError(f"a key did nothing in {_DEADLINE_S:g} s")
        out.append(1000.0 * (engine.acted_s - began_s))
        shown.read_for(_KEY_PAUSE_S)
    return out


class _Scripted:
    """What stands where an engine stands: its socket, a picture, and when it was told."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.changed_frac = 0.3
        self.acted = threading.Event()
        self.acted_s = 0.0
        self._picture = ScriptedSnapshots(random.Random(1))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="picture", daemon=True)
        self._thread.start()

    def snapshot(self) -> Snapshot:
        """Return the newest picture."""
        return self._picture.snapshot

    def execute(self, command: Command, _actor: "Actor") -> Reply:
        """Note when a command came."""
        self.acted_s = time.monotonic()
        self.acted.set()
        return Reply(ok=True, text=f"{command.name} {command.target}")

    def close(self) -> None:
        """Stop moving."""
        self._stop.set()
        self._thread.join()

    def _live(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._picture.step(self.changed_frac)


@contextmanager
def _scripted(home: Path) -> Iterator[_Scripted]:
    from engine.control.server import ControlServer
    from engine.settings.settings import load_settings

    config = home / "config.toml"
    config.write_text(f'mode = "demo"\nstate_dir = "{home / "state"}"\n', encoding="utf-8")
    engine = _Scripted(config)
    server = ControlServer(
        load_settings(config).socket_path,
        snapshot=engine.snapshot,
        execute=engine.execute,
        refused=lambda *_: None,
        now_ns=time.time_ns,
    )
    try:
        server.start()
        yield engine
    finally:
        server.close()
        engine.close()


class _Console:
    """A console in a process of its own on a pseudo-terminal."""

    def __init__(self, config: Path) -> None:
        import fcntl
        import pty
        import struct
        import termios

        import psutil  # type: ignore[import-untyped]

        self.n_bytes = 0
        self.rss_mb = 0.0
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self._began_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pmpro_tui.launch.tui", "--config", str(config)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color", "COLORTERM": ""},
        )
        os.close(slave)
        self._times = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.rss_mb = self._times.memory_info().rss / 1e6
        os.close(self._master)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def cpu_s(self) -> float:
        """Return the processor time taken so far."""
        times = self._times.cpu_times()
        return float(times.user + times.system)

    def read_until(self, text: bytes) -> float:
        """Return the seconds from the process's start until `text` was written."""
        seen = b""
        while text not in seen:
            if self._process.poll() is not None or time.monotonic() - self._began_s > _DEADLINE_S:
                raise PmproError(f"the console shows no {text.decode()!r}: {seen[-300:]!r}")
            seen += self._read(0.01)
        return time.monotonic() - self._began_s

    def read_for(self, seconds: float) -> None:
        """Take what is written for so long."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0.0:
            self._read(left_s)

    def _read(self, timeout_s: float) -> bytes:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return b""
        try:
            found = os.read(self._master, 65536)
        except OSError:  # the console is gone
            raise PmproError("the console ended") from None
        self.n_bytes += len(found)
        return found


def publish_figures(seconds: float, *, n_strategies: int = N_STRATEGIES) -> dict[str, float]:
    """Return what a real engine takes to publish to an attached console."""
    from pmpro_tui.bench.engine import bench_settings
    from pmpro_tui.bench.latency import portfolio_text

    with bench_settings({"portfolio.toml": portfolio_text(n_strategies, 0)}) as settings:
        return {"publish_cpu_pct": round(_publish_cpu_pct(settings, seconds), 3)}


def _publish_cpu_pct(settings: "Settings", seconds: float) -> float:
    """Poll a real engine as a console does; its publishing and answering are counted."""
    from engine.control.client import ControlClient
    from engine.views.snapshot import EVERY_S
    from pmpro_tui.launch.inline import InlineEngine

    engine = InlineEngine(settings, lambda text: None)
    try:
        with ControlClient(settings.socket_path) as client:
            pictures = [client.snapshot(0, events_after=0)]
            began_s, answering_s = time.monotonic(), _answering_s()
            while time.monotonic() < began_s + seconds:
                time.sleep(_EVERY_S)
                pictures.append(client.snapshot(0, events_after=0))
            answering_s = _answering_s() - answering_s
        took_s = time.monotonic() - began_s
    finally:
        engine.close()
    publish_ms = statistics.fmean(p.publish_ms for p in pictures if p is not None)
    return 100.0 * (publish_ms / 1000.0 / EVERY_S + answering_s / took_s)


def _answering_s() -> float:
    """Return the processor time of this process's threads that answer consoles."""
    ticks = 0
    for thread in threading.enumerate():
        if thread.name.startswith("control"):
            stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="ascii")
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
