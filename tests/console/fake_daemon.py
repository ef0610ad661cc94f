"""Stands where the engine's process stands: same options, same socket, a scripted picture."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from engine.control.messages import Actor
from engine.control.server import ControlServer
from engine.model.errors import PmproError
from engine.model.views.snapshot import Command, Reply, Snapshot
from pmpro_tui.launch import tui
from pmpro_tui.launch.daemon import settings_for
from tests.console.scripted import Clock, ScriptedFeed


def main() -> None:
    arguments = tui.parse(sys.argv[1:])
    settings = settings_for(arguments.config, demo=arguments.demo, data=arguments.data)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    done = settings.state_path / "commands.jsonl"
    clock = Clock()
    feed = ScriptedFeed(clock)
    if os.environ.get("FAKE_DAEMON_FAILS"):
        print(json.dumps({"level": "critical", "event": "engine_not_started", "error": "no luck"}))
        sys.exit(1)

    def snapshot() -> Snapshot:
        clock.now = time.time_ns()
        feed.version = clock.now
        return feed.now()

    def execute(command: Command, actor: Actor) -> Reply:
        with done.open("a") as file:
            file.write(json.dumps([command.name, command.target, actor.uid]) + "\n")
        if command.name == "stop":
            stop.set()
        return Reply(ok=True, text=f"{command.name} done")

    print(json.dumps({"level": "info", "event": "warming up"}), flush=True)
    server = ControlServer(
        settings.socket_path,
        snapshot=snapshot,
        execute=execute,
        refused=lambda *_: None,
        now_ns=time.time_ns,
    )
    try:
        server.start()
    except PmproError as error:
        sys.exit(f"pmpro-tui: {error}")
    Path(settings.state_path / "pid").write_text(str(os.getpid()))
    stop.wait()
    server.close()


if __name__ == "__main__":
    main()
