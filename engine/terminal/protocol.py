"""What gateway and terminal host say to each other: msgpack over the child's frames.

Every operation is a record of its own; there is no way to ask for anything else. A reply carries a
result or a failure, never an empty result for a failure: None is not "no positions".
"""

from typing import Any, Final, Literal

import msgspec

from engine.model.broker import OrderRequest
from engine.model.errors import BrokerError


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A terminal host on another box: `HOST:PORT`, its certificate's fingerprint, its token."""

    address: str
    fingerprint: str
    token: str

    def __repr__(self) -> str:
        return f"Remote({self.address!r})"


class HostConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a terminal host.

    `module`: "simulated", "MetaTrader5" or the dotted name of a module with its functions.
    `lock_path`: held exclusively for the host's whole life. `simulated`: the simulated terminal's
    own settings. `symbol_names`: our names to the broker's, where they differ by more than prefix
    and suffix. `stepped`: the clock moves by `advance` only, nothing is watched in between.
    `demo_only`: an account that trades real money is refused. `remote`: the host is another box's,
    which decides on module, paths and simulation itself.
    """

    module: str
    lock_path: str
    log_path: str = ""
    server_clock: str = "new_york+7"
    symbol_names: dict[str, str] = {}
    symbol_prefix: str = ""
    symbol_suffix: str = ""
    terminal_path: str = ""
    login: int = 0
    server: str = ""
    password: str = ""
    demo_only: bool = False
    simulated: dict[str, Any] = {}
    stepped: bool = False
    check_orders: bool = True
    poll_ms: float = 10.0
    heartbeat_ms: float = 250.0
    batch_grace_ms: float = 1000.0
    lock_wait_s: float = 15.0
    remote: Remote | None = None

    def __repr__(self) -> str:
        return f"HostConfig({self.module!r}, login={self.login}, server={self.server!r})"


class _Op(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag=True):
    """Base of operations; `id` correlates the logs of both sides."""

    id: int = 0


class Open(_Op, frozen=True):
    """Take the lock and load the module; first, and once."""

    config: HostConfig


class Connect(_Op, frozen=True):
    """Initialise, log in, check account and server; reply AccountState."""


class Ping(_Op, frozen=True):
    """Reply nothing and ask the module nothing: the host lives, and how far away it is."""


class GetAccount(_Op, frozen=True):
    """Reply AccountState."""


class GetTerminal(_Op, frozen=True):
    """Reply terminal_info() and version() as a dict."""


class GetClock(_Op, frozen=True):
    """Reply ClockState: what is known of the server's clock."""


class GetSymbols(_Op, frozen=True):
    """Select the symbols; reply list[SymbolFacts]."""

    names: list[str]


class GetRates(_Op, frozen=True):
    """M1 bars that open in [from_ns, to_ns), closed or forming; reply bytes of BAR_DTYPE."""

    symbol: str
    from_ns: int
    to_ns: int


class GetLastRates(_Op, frozen=True):
    """The last `count` closed M1 bars; reply bytes of BAR_DTYPE."""

    symbol: str
    count: int


class GetQuotes(_Op, frozen=True):
    """Reply list[Quote]."""

    names: list[str]


class GetPositions(_Op, frozen=True):
    """Reply list[BrokerPosition], all of the account."""


class GetOrders(_Op, frozen=True):
    """Working orders; reply list[BrokerOrder]."""


class GetOrderHistory(_Op, frozen=True):
    """Orders done since; reply list[BrokerOrder]."""

    from_ns: int


class GetDeals(_Op, frozen=True):
    """Deals since; reply list[BrokerDeal]."""

    from_ns: int


class CalcProfit(_Op, frozen=True):
    """Reply float, account currency."""

    direction: int
    symbol: str
    lots: float
    open_price: float
    close_price: float


class CalcMargin(_Op, frozen=True):
    """Reply float, account currency."""

    direction: int
    symbol: str
    lots: float
    price: float


class Check(_Op, frozen=True):
    """Ask the terminal whether it would take the order; reply OrderResult, retcode 0 is yes."""

    order: OrderRequest


class Send(_Op, frozen=True):
    """Reply OrderResult."""

    order: OrderRequest


class Modify(_Op, frozen=True):
    """Set a position's stop and target, 0.0 for none; reply OrderResult."""

    symbol: str
    ticket: int
    stop: float
    target: float


class Watch(_Op, frozen=True):
    """Watch these symbols; bars that open at `from_ns` or later come with the batches."""

    names: list[str]
    from_ns: int


class Advance(_Op, frozen=True):
    """Stepped mode: move the clock; reply the MarketUpdate of that batch."""

    to_ns: int


class Control(_Op, frozen=True):
    """Simulation control, beside the module's functions; reply dict."""

    body: dict[str, Any]


Op = (
    Open
    | Connect
    | Ping
    | GetAccount
    | GetTerminal
    | GetClock
    | GetSymbols
    | GetRates
    | GetLastRates
    | GetQuotes
    | GetPositions
    | GetOrders
    | GetOrderHistory
    | GetDeals
    | CalcProfit
    | CalcMargin
    | Check
    | Send
    | Modify
    | Watch
    | Advance
    | Control
)

ORDER_OPS: Final = (Send, Modify)
SENDING: Final = b"sending"
"""First part of an order's reply, written right before `order_send` is called.

A host that died without having written it has certainly sent nothing.
"""

FailureKind = Literal["call", "refused", "config", "locked"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no result.

    "call": `function` of the module failed, `code` is its last_error. "refused": the host did not
    pass the request on. "config": wrong account, server, module or clock. "locked": another host.
    """

    kind: FailureKind
    text: str
    code: int = 0
    function: str = ""


class TerminalReply(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one of result (encoded) and failure."""

    result: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: Failure | None = None


class CallFailed(BrokerError):
    """A function of the module returned None or False; `code` is its `last_error`."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"{function} failed: {code} {text}".strip())
        self.function = function
        self.code = code
        self.reason = text
