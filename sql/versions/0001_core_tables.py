"""The nine core tables, and those that the writer and the audit chain need.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE strategies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    type text NOT NULL,
    config jsonb NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    allocation numeric NOT NULL DEFAULT 0,
    performance_score numeric,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE market_data (
    symbol text NOT NULL,
    timeframe integer NOT NULL,
    timestamp timestamptz NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume numeric,
    spread numeric,
    source text NOT NULL,
    PRIMARY KEY (symbol, timeframe, timestamp),
    CONSTRAINT market_data_low_high_check CHECK (low <= high)
) PARTITION BY RANGE (timestamp);
CREATE TABLE strategy_signals (
    id bigint GENERATED ALWAYS AS IDENTITY,
    strategy_id bigint NOT NULL REFERENCES strategies,
    timestamp timestamptz NOT NULL,
    symbol text NOT NULL,
    signal text NOT NULL CHECK (signal IN ('BUY', 'SELL', 'HOLD')),
    confidence numeric CHECK (confidence BETWEEN 0 AND 1),
    details jsonb NOT NULL,
    PRIMARY KEY (id, timestamp),
    UNIQUE (strategy_id, timestamp)
) PARTITION BY RANGE (timestamp);
CREATE TABLE trades (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trade_key text NOT NULL UNIQUE,
    strategy_id bigint NOT NULL REFERENCES strategies,
    symbol text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('BUY', 'SELL')),
    entry_price numeric NOT NULL,
    exit_price numeric,
    lot_size numeric NOT NULL,
    profit_loss numeric,
    entry_time timestamptz NOT NULL,
    exit_time timestamptz,
    status text NOT NULL CHECK (status IN ('OPEN', 'CLOSED')),
    stop numeric,
    target numeric,
    commission numeric NOT NULL,
    swap numeric NOT NULL,
    exit_reason text,
    intent_id bigint,
    order_ticket bigint,
    deal_ticket bigint,
    close_order_ticket bigint,
    close_deal_ticket bigint
);
CREATE INDEX trades_strategy_id_entry_time_idx ON trades (strategy_id, entry_time);
CREATE INDEX trades_entry_time_idx ON trades (entry_time);
CREATE TABLE trade_shares (
    trade_id bigint NOT NULL REFERENCES trades,
    strategy_id bigint NOT NULL REFERENCES strategies,
    share numeric NOT NULL,
    PRIMARY KEY (trade_id, strategy_id)
);
CREATE TABLE positions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket bigint NOT NULL UNIQUE,
    strategy_id bigint REFERENCES strategies,
    symbol text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('BUY', 'SELL')),
    lot_size numeric NOT NULL,
    entry_price numeric NOT NULL,
    current_price numeric,
    profit_loss numeric,
    open_time timestamptz NOT NULL,
    stop numeric,
    target numeric,
    as_of timestamptz NOT NULL
);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    magic bigint NOT NULL,
    intent_id bigint NOT NULL,
    strategy_id bigint NOT NULL REFERENCES strategies,
    symbol text NOT NULL,
    action text NOT NULL,
    direction text NOT NULL,
    lots numeric NOT NULL,
    stop numeric,
    target numeric,
    state text NOT NULL,
    retcode bigint NOT NULL,
    order_ticket bigint NOT NULL,
    deal_ticket bigint NOT NULL,
    price numeric,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    detail text NOT NULL,
    UNIQUE (magic, created_at)
);
CREATE INDEX orders_strategy_id_created_at_idx ON orders (strategy_id, created_at);
CREATE TABLE portfolio_metrics (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    date date NOT NULL UNIQUE,
    total_balance numeric NOT NULL,
    equity numeric NOT NULL,
    drawdown_pct numeric NOT NULL,
    daily_pl numeric NOT NULL,
    win_rate numeric,
    sharpe_ratio numeric,
    correlation_matrix jsonb,
    var numeric,
    volatility numeric,
    leverage numeric,
    updated_at timestamptz NOT NULL
);
CREATE TABLE rl_models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version text NOT NULL UNIQUE,
    episode bigint,
    reward numeric,
    total_profit numeric,
    model_path text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    is_active boolean NOT NULL DEFAULT false,
    algorithm text NOT NULL,
    seeds jsonb NOT NULL,
    data_start timestamptz,
    data_end timestamptz,
    metrics jsonb NOT NULL DEFAULT '{}',
    checksum text NOT NULL
);
CREATE TABLE backtest_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    strategy_id bigint REFERENCES strategies,
    start_date timestamptz NOT NULL,
    end_date timestamptz NOT NULL,
    total_return numeric,
    sharpe_ratio numeric,
    win_rate numeric,
    max_drawdown numeric,
    trades_count bigint NOT NULL,
    results jsonb NOT NULL,
    config_hash text NOT NULL,
    data_hash text NOT NULL,
    code_version text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX backtest_results_strategy_id_created_at_idx
    ON backtest_results (strategy_id, created_at);
CREATE TABLE audit_logs (
    id bigint NOT NULL,
    timestamp timestamptz NOT NULL,
    event_type text NOT NULL,
    actor text NOT NULL,
    details jsonb NOT NULL,
    status text NOT NULL CHECK (status IN ('SUCCESS', 'FAILED')),
    previous_hash text NOT NULL,
    hash text NOT NULL,
    PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);
CREATE INDEX audit_logs_timestamp_idx ON audit_logs (timestamp);
CREATE INDEX audit_logs_magic_idx ON audit_logs ((details ->> 'magic'), timestamp);
CREATE TABLE audit_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO audit_head (id, hash) VALUES (0, repeat('0', 64));
CREATE TABLE writer_state (
    journal_id uuid PRIMARY KEY,
    last_seq bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE writer_rejects (
    journal_id uuid NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    record text NOT NULL,
    error text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (journal_id, seq)
);
"""

# The row lock on audit_head makes the chain serial; ids have no gaps, so a removed row shows.
# The hash is over the entry as PostgreSQL itself prints it (keys sorted), which survives JSONB.
_AUDIT = """
CREATE FUNCTION pmpro_audit_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    SELECT id + 1, hash INTO NEW.id, NEW.previous_hash FROM public.audit_head FOR UPDATE;
    NEW.hash := encode(sha256(convert_to(jsonb_build_array(
        NEW.previous_hash, NEW.id, (extract(epoch FROM NEW.timestamp) * 1000000)::bigint,
        NEW.event_type, NEW.actor, NEW.details, NEW.status)::text, 'UTF8')), 'hex');
    UPDATE public.audit_head SET id = NEW.id, hash = NEW.hash;
    RETURN NEW;
END
$$;
CREATE FUNCTION pmpro_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_chain BEFORE INSERT ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION pmpro_audit_chain();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION pmpro_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION pmpro_append_only();
"""

# Owned by pmpro_admin, so that the engine can open a year without owning the table.
_PARTITIONS = """
CREATE FUNCTION pmpro_ensure_partition(parent text, at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    year integer := extract(year FROM at AT TIME ZONE 'UTC');
    partition text := format('%s_%s', parent, year);
BEGIN
    IF parent NOT IN ('market_data', 'strategy_signals', 'audit_logs')
        OR year NOT BETWEEN 1970 AND 2262 THEN
        RAISE EXCEPTION 'no partition of % for the year %', parent, year
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext(partition));
    EXECUTE format(
        'CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
        partition, parent,
        format('%s-01-01 00:00:00+00', year), format('%s-01-01 00:00:00+00', year + 1));
    IF parent = 'audit_logs' THEN
        EXECUTE format(
            'CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.%I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION public.pmpro_append_only()', partition);
    END IF;
EXCEPTION WHEN duplicate_table THEN
    RETURN; -- another session made it while this one waited for the lock
END
$$;
"""

_GRANTS = """
GRANT SELECT ON ALL TABLES IN SCHEMA public TO pmpro_viewer;
GRANT INSERT, UPDATE ON strategies, market_data, trades, trade_shares, positions, orders,
    portfolio_metrics, rl_models, backtest_results, writer_state, writer_rejects
    TO pmpro_operator;
GRANT DELETE ON positions TO pmpro_operator;
GRANT INSERT ON strategy_signals, audit_logs TO pmpro_operator;
REVOKE ALL ON FUNCTION pmpro_ensure_partition(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pmpro_ensure_partition(text, timestamptz) TO pmpro_operator;
"""


def upgrade() -> None:
    """Create everything."""
    for script in (_TABLES, _AUDIT, _PARTITIONS, _GRANTS):
        op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})


def downgrade() -> None:
    """Drop everything, data included; the roles stay, other databases may use them."""
    op.get_bind().exec_driver_sql(
        """
        DROP TABLE writer_rejects, writer_state, audit_head, audit_logs, backtest_results,
            rl_models, portfolio_metrics, orders, positions, trade_shares, trades,
            strategy_signals, market_data, strategies;
        DROP FUNCTION pmpro_audit_chain, pmpro_append_only, pmpro_ensure_partition;
        """
    )
