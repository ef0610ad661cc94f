"""Names that vulture finds no use of, and who uses them. Read by vulture alone, never run."""

# Attributes that NumPy, SQLite, logging and pydantic read.
_.writeable
_.isolation_level
_.exc_text
_.model_config

# numba calls these: an extension type, and a dispatcher of ours.
_.generic_resolve
_._optimize_functions
_.data_layout
_._get_module_for_linking
_.no_compile
_.no_cpython_wrapper
_.define_pipelines
_._compile_core
_.ensure_cache_path
_.load_overload
_._cache
_.get_call_template
_.get_overload

# Called by Python's import system, and by who asks for the terminal module's signature.
_.__loader__
_.__spec__
_.__package__
_.__path__
_.__signature__
_.create_module
_.exec_module
_.find_distributions
_.locate_file

# The MetaTrader5 module's own functions and parameters, called by a host by name.
_.initialize
_.portable
_.symbols_total
_.symbols_get
_.symbol_select
_.copy_rates_from
_.copy_rates_from_pos
_.copy_rates_range
_.copy_ticks_from
_.copy_ticks_range
_.market_book_add
_.market_book_release
_.market_book_get
_.order_calc_margin
_.order_calc_profit
_.positions_total
_.orders_total
_.orders_get
_.history_orders_total
_.history_orders_get
_.history_deals_total
_.history_deals_get
_.Buy
_.Sell
_.Close

# Keys of the portfolio file, read by the core by their name.
_.account_drawdown_max_frac
_.daily_loss_max_frac
_.symbol_exposure_max_frac
_.book_exposure_max_frac
_.net_exposure_max_frac
_.margin_max_frac
_.correlation_threshold_frac
_.correlated_exposure_max_frac
_.diversify_above_frac
_.largest_share_max_frac
_.var_max_frac
_.order_max_value_frac
_.collar_frac
_.collar_spreads
_.spread_max_factor
_.orders_per_minute_max
_.symbol_orders_per_minute_max
_.repeated_max
_.repeated_minutes
_.book_orders_per_day_max
_.samples_min
_.correlation_shrink_frac
_.kelly_frac
_.kelly_max_frac
_.kelly_min_trades
_.kelly_shrink_trades
_.trail_from_points
_.step_points

# Fields of records that cross a border: the other side, a log or a debugger reads them.
_.margin_free_ccy
_.setup_ns
_.queued_ns
_.tier_factor
_.days_r
_.total_s
_.rule_offset_ns
_.margin_currency
_.calc_mode

# Columns of the database, given by its schema; SQLAlchemy maps them.
_.type_annotation_map
_.performance_score
_.open_time
_.settled_at
_.correlation_matrix
_.var
_.RlModelTable
_.episode
_.reward
_.model_path
_.is_active
_.algorithm
_.seeds
_.data_start
_.data_end

# Held for the process's life: a lock is open as long as its file is.
_._lock_fd

# Lists that tests hold beside the code: the tables in parts, the manual.
_.PARTITIONED
_.manual_row

# Counters, and hosts within the process, that tests of whole engines look at.
_.InProcessHosts
_.n_failures
_.n_refused
_.n_sessions

# Called by strategies, their tests and research: docs/API_REFERENCE.md.
_.check_file
_.last_closed
_.resample

# Called by typer, and by `view` as a type.
_.format_commands
_.__call__

# Found by the name of a key's action: `ScreenCommands`.
_._kill_close
_._disable
_._allocate
_._halt
_._flatten
_._faster
_._slower
_._filter
_._freeze
_._back
_._theme
_._palette
_._suspend
_._next_panel
_._previous_panel
_._down
_._up
_._page_down
_._page_up
_._last
_._detach

# Found by the name of a screen: pmpro_tui/console/pages.
_.BacktestsPage
_.AlertsPage
_.HelpPage
_.LogPage
_.OverviewPage
_.PositionsPage
_.RiskPage
_.StrategiesPage
_.StrategyPage

# Stand for `datetime` while a strategy is watched.
_.__instancecheck__
_.__subclasscheck__
_.utcnow

# A fact of a command that tests/model/test_commands.py compares with the command line.
_.needs_target
