"""What each limit of `[risk]` is, in words; its option's name stands beside them."""

from typing import Final

LIMIT_WORDS: Final = {
    "drawdown_reduce_frac": "Drawdown that halves sizes",
    "drawdown_stop_entries_frac": "Drawdown that stops entries",
    "drawdown_flatten_frac": "Drawdown that closes everything",
    "account_drawdown_max_frac": "Drawdown of the whole account",
    "daily_loss_max_frac": "Loss of a server day",
    "symbol_exposure_max_frac": "Exposure of a symbol",
    "book_exposure_max_frac": "Exposure of a book",
    "gross_exposure_max_frac": "Exposure, long plus short",
    "net_exposure_max_frac": "Exposure, long less short",
    "margin_max_frac": "Margin that the broker blocks",
    "correlation_threshold_frac": "Correlation that is one bet",
    "correlated_exposure_max_frac": "Exposure of one bet",
    "diversify_above_frac": "Exposure to diversify above",
    "largest_share_max_frac": "Largest symbol's share",
    "var_max_frac": "Value at risk, a day at 99 %",
    "order_max_lots": "Lots of an order",
    "order_max_value_frac": "Value of an order",
    "collar_frac": "Price away from last close",
    "collar_spreads": "The same, in spreads",
    "spread_max_factor": "Spread, times the contract's",
    "orders_per_minute_max": "Orders a minute",
    "symbol_orders_per_minute_max": "Orders a minute of a symbol",
    "repeated_max": "Entries that bar a book",
    "repeated_minutes": "Minutes these are counted over",
    "book_orders_per_day_max": "Orders of a book a day",
    "sample_minutes": "Minutes between risk samples",
    "samples_min": "Risk samples to trust",
    "correlation_shrink_frac": "Shrinkage of correlations",
}
