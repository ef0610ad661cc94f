"""A backtest's name, note, the text of its portfolio and its document, as they were written.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns: no text for what there is, whose JSONB has lost its members' order."""
    op.get_bind().exec_driver_sql(
        """
        ALTER TABLE backtest_results
            ADD COLUMN name text NOT NULL DEFAULT '',
            ADD COLUMN note text NOT NULL DEFAULT '',
            ADD COLUMN portfolio text,
            ADD COLUMN document text
        """
    )


def downgrade() -> None:
    """Drop the columns and what they hold; figures and hashes stay."""
    op.get_bind().exec_driver_sql(
        """
        ALTER TABLE backtest_results
            DROP COLUMN name, DROP COLUMN note, DROP COLUMN portfolio, DROP COLUMN document
        """
    )
