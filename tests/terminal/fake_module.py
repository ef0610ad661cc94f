"""The scripted module as a host process loads it; what it executed is kept in a file.

The order's comment says what happens; FAKE_TERMINAL_DIR is where the broker remembers.
"""

import ctypes
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.terminal.fake_api import FakeApi

_LEDGER = Path(os.environ["FAKE_TERMINAL_DIR"]) / "ledger.json"
print("stray print at import")


class Module(FakeApi):
    """Wall-clock ticks, positions that survive the process."""

    looks = 0

    @property
    def ticks(self) -> dict[str, tuple[int, float]]:
        self.looks += 1  # each look finds a new tick
        return {"EURUSD": (time.time_ns() + self.looks % 1000 * 1_000_000, 1.1)}

    @ticks.setter
    def ticks(self, _: object) -> None:
        pass

    def symbol_info_tick(self, name: str) -> Any:
        if (_LEDGER.parent / "hang_ticks").exists():
            ctypes.PyDLL(None).sleep(60)
        return super().symbol_info_tick(name)

    def terminal_info(self) -> Any:
        print("stray print")
        os.write(1, b"\x04\xff\xff stray bytes\n")
        if (_LEDGER.parent / "hang_reads").exists():
            ctypes.PyDLL(None).sleep(60)
        return super().terminal_info()

    def positions_get(self, **_: Any) -> Any:
        if (_LEDGER.parent / "no_positions").exists():
            self.error = (-10001, "IPC send failed")
            return None
        return tuple(SimpleNamespace(**item) for item in _read())

    def order_send(self, request: dict[str, Any]) -> Any:
        if request["comment"] != "hang before":
            _execute(request)
        (_LEDGER.parent / "sending").touch()
        if request["comment"].startswith("hang"):
            ctypes.PyDLL(None).sleep(60)
        if request["comment"] == "none":
            self.error = (-10005, "IPC timeout")
            return None
        if request["comment"] == "exit":
            os._exit(9)
        return SimpleNamespace(
            retcode=10009, order=1, deal=2, volume=request["volume"], price=1.1, comment="Done"
        )


def _read() -> list[dict[str, Any]]:
    return json.loads(_LEDGER.read_text()) if _LEDGER.exists() else []


def _execute(request: dict[str, Any]) -> None:
    items = _read()
    zeros = dict.fromkeys(("price_current", "sl", "tp", "profit", "swap"), 0.0)
    items.append(
        {
            "ticket": len(items) + 1,
            "identifier": len(items) + 1,
            "symbol": request["symbol"],
            "magic": request["magic"],
            "type": request["type"],
            "volume": request["volume"],
            "price_open": request["price"],
            "time_msc": time.time_ns() // 1_000_000,
            "comment": request["comment"],
            **zeros,
        }
    )
    _LEDGER.write_text(json.dumps(items))


_module = Module()
for _name in dir(_module):
    if not _name.startswith("_") and _name not in ("now_ns", "ticks"):
        globals()[_name] = getattr(_module, _name)


def last_error() -> tuple[int, str]:
    return _module.error
