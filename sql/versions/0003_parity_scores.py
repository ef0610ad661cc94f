"""How alike live and a backtest of the same hours were, a strategy and a day.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.get_bind().exec_driver_sql(
        """
        CREATE TABLE parity_scores (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            strategy_id bigint NOT NULL REFERENCES strategies,
            from_time timestamptz NOT NULL,
            to_time timestamptz NOT NULL,
            trades_count bigint NOT NULL,
            alike_count bigint NOT NULL CHECK (alike_count BETWEEN 0 AND trades_count),
            live_profit numeric NOT NULL,
            backtest_profit numeric NOT NULL,
            gaps jsonb NOT NULL,
            UNIQUE (strategy_id, from_time)
        );
        GRANT SELECT ON parity_scores TO pmpro_viewer;
        GRANT INSERT, UPDATE ON parity_scores TO pmpro_operator;
        """
    )


def downgrade() -> None:
    """Drop the table and what it holds."""
    op.get_bind().exec_driver_sql("DROP TABLE parity_scores")
