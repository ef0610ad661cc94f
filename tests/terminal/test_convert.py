"""What a terminal says in numbers that are none is an answer that could not be read."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from engine.model.errors import BrokerError
from engine.terminal.host import convert
from engine.terminal.host.server_time import ServerTime
from tests.terminal.fake_api import FakeApi

TIMES = {"time_msc": 1, "time_setup_msc": 1, "time_done_msc": 1}
ITEM: dict[str, Any] = {
    **dict.fromkeys(("ticket", "identifier", "magic", "type", "state", "order", "position_id"), 1),
    **dict.fromkeys(("volume", "volume_initial", "volume_current", "entry", "reason"), 1),
    **dict.fromkeys(("price_open", "price_current", "price", "sl", "tp"), 1.5),
    **dict.fromkeys(("profit", "swap", "commission", "fee"), -0.0),
    **TIMES,
    "symbol": "A",
    "comment": "",
}
Convert = Callable[[Any], Any]


def converts(function: Callable[[Any, ServerTime], Any]) -> Convert:
    return lambda item: function(item, ServerTime("UTC"))


ACCOUNT = vars(FakeApi().account_info())
CASES = [
    *((convert.account_state, ACCOUNT, n) for n in ("balance", "equity", "profit", "margin")),
    *((converts(convert.position), ITEM, n) for n in ("volume", "price_open", "sl", "profit")),
    *((converts(convert.order), ITEM, n) for n in ("volume_initial", "volume_current")),
    *((converts(convert.deal), ITEM, n) for n in ("volume", "price", "profit", "fee", "swap")),
]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
@pytest.mark.parametrize(("function", "fields", "name"), CASES)
def test_a_number_that_is_none_is_no_answer(
    function: Convert, fields: dict[str, Any], name: str, value: float | None
) -> None:
    """NaN is neither above nor below any bound: as a balance it would agree with every figure, as
    a volume with every position; so the question counts as failed, and the error names it."""
    function(SimpleNamespace(**fields))
    with pytest.raises(BrokerError, match=f"has {name} = {value!r}"):
        function(SimpleNamespace(**{**fields, name: value}))
