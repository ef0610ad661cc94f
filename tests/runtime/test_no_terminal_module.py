"""The engine's process never holds the terminal: a hung call could not be survived there."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPO

SCRIPT = """
import json, sys, threading
from engine.runtime.engine import Engine
from engine.settings.settings import load_settings

engine = Engine(load_settings(mode="demo"))
engine.start()
thread = threading.Thread(target=engine.run)
thread.start()
while not engine.snapshot().market_ns or not engine.snapshot().positions:
    if not thread.is_alive():
        sys.exit("the engine ended")
    threading.Event().wait(0.05)
engine.stop("seen enough")
thread.join()
engine.close()
print(json.dumps(sorted(sys.modules)))
"""
# What settings need of the simulated terminal: records without behaviour.
PLAIN = {"engine.terminal.simulated", "engine.terminal.simulated.config"}


def test_an_engine_that_has_traded_never_imported_a_terminal(tmp_path: Path) -> None:
    """Neither the MetaTrader5 package nor any working part of the simulated one is loaded in the
    process of an engine that has started, decided, sent orders and stopped, nor is apprise."""
    environment = {
        **os.environ,
        "PMPRO_STATE_DIR": str(tmp_path),
        "PMPRO_RUN_DIR": str(tmp_path),
        "PMPRO_DEMO__SPEED": "600",
        "PMPRO_DATABASE__EMBEDDED": "false",
        "PMPRO_DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none",
        "PYTHONPATH": str(REPO),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=110,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "MetaTrader5" not in loaded
    assert {m for m in loaded if m.startswith("engine.terminal.simulated")} <= PLAIN
    assert "engine.terminal.gateway" in loaded
    assert "engine.notify.service" in loaded
    assert "apprise" not in loaded  # the child that sends has it: its loggers, memory and faults


def test_one_place_may_import_the_official_module() -> None:
    """The name of the package stands in no import statement: only the host's loader, told by its
    configuration, brings it in."""
    sources = [
        p for top in ("engine", "strategies", "pmpro_tui") for p in (REPO / top).rglob("*.py")
    ]
    guilty = [
        path.name
        for path in sources
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(("import MetaTrader5", "from MetaTrader5"))
    ]
    assert guilty == []
