"""What each entry was decided on, and each member's part of a closed trade.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty: earlier orders and trades have none."""
    op.get_bind().exec_driver_sql(
        """
        ALTER TABLE orders ADD COLUMN checks jsonb;
        CREATE INDEX orders_order_ticket_idx ON orders (order_ticket);
        ALTER TABLE trade_shares
            ADD COLUMN profit numeric, ADD COLUMN commission numeric, ADD COLUMN swap numeric;
        """
    )


def downgrade() -> None:
    """Drop the columns and what they hold."""
    op.get_bind().exec_driver_sql(
        """
        ALTER TABLE trade_shares DROP COLUMN profit, DROP COLUMN commission, DROP COLUMN swap;
        DROP INDEX orders_order_ticket_idx;
        ALTER TABLE orders DROP COLUMN checks;
        """
    )
