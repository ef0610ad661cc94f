"""The box's own time of an audit entry, which its hash covers; the code that sent an order.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

_CHAIN = """
CREATE OR REPLACE FUNCTION pmpro_audit_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    entry jsonb;
BEGIN
    SELECT id + 1, hash INTO NEW.id, NEW.previous_hash FROM public.audit_head FOR UPDATE;
    entry := jsonb_build_array(
        NEW.previous_hash, NEW.id, (extract(epoch FROM NEW.timestamp) * 1000000)::bigint,
        NEW.event_type, NEW.actor, NEW.details, NEW.status);
    IF NEW.box_time IS NOT NULL THEN
        entry := entry || to_jsonb((extract(epoch FROM NEW.box_time) * 1000000)::bigint);
    END IF;
    NEW.hash := encode(sha256(convert_to(entry::text, 'UTF8')), 'hex');
    UPDATE public.audit_head SET id = NEW.id, hash = NEW.hash;
    RETURN NEW;
END
$$;
"""
_CHAIN_OF_0001 = """
CREATE OR REPLACE FUNCTION pmpro_audit_chain() RETURNS trigger
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
"""


def upgrade() -> None:
    """Add the columns, empty for what there is: earlier entries' hashes stay as they are."""
    _run("ALTER TABLE audit_logs ADD COLUMN IF NOT EXISTS box_time timestamptz")
    _run(_CHAIN)
    _run("ALTER TABLE orders ADD COLUMN code text")


def downgrade() -> None:
    """Hash as before. `box_time` stays: entries' hashes cover it, and nothing else has it.

    The older version's `pmpro audit verify` names the first entry with a box time; after the next
    upgrade all entries verify again, those that were written meanwhile included.
    """
    _run(_CHAIN_OF_0001)
    _run("ALTER TABLE orders DROP COLUMN code")


def _run(script: str) -> None:
    op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
