"""The migration makes what the mappings say, goes back to nothing, and gives each role its part."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.execution.journal import Journal
from engine.model.errors import SchemaMismatch, StoreError
from engine.model.records import SignalRow
from engine.runtime.database import DatabaseKeeper
from engine.store import migrate
from engine.store import tables as t
from engine.store.embedded import Urls
from engine.store.results import NewResult, list_backtests, save_backtest, show_backtest
from engine.store.rows import ensure_partition
from engine.store.writer import Writer
from tests.child.test_child import wait_until

CORE = {
    "strategies", "market_data", "strategy_signals", "trades", "positions", "portfolio_metrics",
    "rl_models", "backtest_results", "audit_logs",
}  # fmt: skip


EVERYTHING = """
SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT concat_ws(' ', grantee, table_name, privilege_type)
    FROM information_schema.role_table_grants WHERE table_schema = 'public'
ORDER BY 1
"""


def everything(connection: Connection) -> list[str]:
    """Return the definition of every table, index, trigger, function and grant of ours."""
    return list(connection.execute(text(EVERYTHING)).scalars())


def test_models_and_migration_agree(owner: Engine) -> None:
    """Alembic finds no difference between the typed tables and the migrated database."""
    with owner.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, t.Base.metadata) == []
    assert CORE.issubset(inspect(owner).get_table_names())


def test_down_and_up_again_is_the_same(database: Urls, owner: Engine) -> None:
    """Downgrade leaves nothing of ours; the next upgrade makes the same again."""
    with owner.connect() as connection:
        first = everything(connection)
    migrate.downgrade(database.owner, "base")
    with owner.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
        assert not connection.execute(
            text("SELECT FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        ).all()
    assert migrate.current(database.owner) is None
    migrate.upgrade(database.owner)
    migrate.upgrade(database.owner)
    with owner.connect() as connection:
        assert everything(connection) == first


def test_an_operator_may_start_but_not_migrate(database: Urls) -> None:
    """On a database that is up to date the operator's URL is enough; else the error says why."""
    migrate.upgrade(database.operator)
    with pytest.raises(StoreError, match=r"migration failed.*roles\.sql") as error:
        migrate.downgrade(database.operator, "base")
    assert "\n" not in str(error.value)


def test_a_plain_database_owner_can_migrate(server_urls: Urls) -> None:
    """On a server of the user's own, owning the database and CREATEROLE is enough."""
    admin = create_engine(server_urls.owner.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in (
            "CREATE ROLE plain LOGIN CREATEROLE PASSWORD 'x'",
            "GRANT pmpro_admin, pmpro_viewer, pmpro_operator TO plain WITH ADMIN OPTION",
            "CREATE DATABASE plain OWNER plain",
        ):
            connection.exec_driver_sql(statement)
    admin.dispose()
    url = server_urls.owner.set(username="plain", password="x", database="plain")
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.head()
    migrate.downgrade(url, "base")


@pytest.mark.parametrize("table", t.PARTITIONED)
def test_a_year_is_opened_once_and_bounded(table: str, operator: Engine) -> None:
    """The operator opens years for the partitioned tables alone; borders are UTC."""
    last = datetime(2026, 12, 31, 23, 59, 59, 999_999, UTC)
    with operator.begin() as connection:
        for at in (last, last, datetime(2027, 1, 1, tzinfo=UTC)):
            ensure_partition(connection, table, at)
        names = connection.execute(
            text("SELECT relid::text FROM pg_partition_tree(:table) WHERE level = 1 ORDER BY 1"),
            {"table": table},
        )
        assert names.scalars().all() == [f"{table}_2026", f"{table}_2027"]
    with pytest.raises(DBAPIError, match="no partition of trades"), operator.begin() as connection:
        ensure_partition(connection, "trades", last)


def test_roles(owner: Engine, journal: Journal, move: Callable[[], Writer]) -> None:
    """A viewer reads all and writes nothing; signals are append-only for the operator."""
    signal = SignalRow(strategy="s", time_ns=0, symbol="X", signal="BUY", confidence=1.0)
    journal.commit(records=[signal])
    move()
    with owner.connect() as connection:
        connection.exec_driver_sql("SET ROLE pmpro_viewer")
        for table in t.Base.metadata.tables:
            connection.exec_driver_sql(f"SELECT * FROM {table}")
        connection.commit()
        refused = [("pmpro_viewer", "INSERT INTO strategies (name, type) VALUES ('x', 'y')")]
        refused += [
            ("pmpro_operator", change)
            for change in (
                "DELETE FROM strategy_signals",
                "UPDATE strategy_signals SET symbol = 'Y'",
                "DELETE FROM trades",
                "UPDATE audit_head SET id = 0",
                "DROP TABLE trades",
            )
        ]
        for role, statement in refused:
            connection.exec_driver_sql(f"SET ROLE {role}")
            connection.commit()
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                connection.exec_driver_sql(statement)
            connection.rollback()


def test_backtests_are_kept(session: Session) -> None:
    """A result is listed and shown as it was saved, for a portfolio or for one strategy."""
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    ids = [
        save_backtest(
            session,
            NewResult(
                start=start,
                end=end,
                total_return_frac=0.125,
                sharpe_ratio=float("nan"),
                win_rate_frac=0.5,
                max_drawdown_frac=0.0625,
                n_trades=42,
                results={"daily": [1.0, float("nan")]},
                config_hash="c",
                data_hash="d",
                code_version="0.1.0",
                strategy=strategy,
            ),
        )
        for strategy in (None, "eur-ma")
    ]
    session.commit()
    assert [r.id for r in list_backtests(session)] == ids[::-1]
    shown = show_backtest(session, ids[1])
    assert shown is not None
    assert (shown.sharpe_ratio, shown.trades_count) == (None, 42)
    assert (float(shown.total_return or 0), shown.results) == (0.125, {"daily": [1.0, None]})
    name = session.scalar(
        select(t.StrategyTable.name).where(t.StrategyTable.id == shown.strategy_id)
    )
    assert name == "eur-ma"
    assert show_backtest(session, 10**6) is None


def test_a_schema_of_another_version_is_a_mismatch_and_said(
    database: Urls, owner: Engine, tmp_path: Path, journal: Journal
) -> None:
    """A newer schema, and an older one that this login may not migrate, are told as that: the
    engine's keeper stops entries for it until the schema is right, and moves nothing meanwhile."""
    with owner.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="schema is 9999, this version") as error:
        migrate.upgrade(database.owner)
    assert "\n" not in str(error.value)
    told: list[str] = []
    keeper = DatabaseKeeper(
        journal.path,
        url=database.owner.render_as_string(hide_password=False),
        data_dir=tmp_path / "unused",
        run_dir=tmp_path / "unused",
        on_damage=told.append,
        on_mismatch=told.append,
    )
    keeper.start()
    try:
        assert wait_until(lambda: bool(told), 30)
        assert "schema is 9999" in told[0]
        with owner.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE alembic_version SET version_num = '{migrate.head()}'"
            )
        assert wait_until(lambda: told[-1] == "", 30)
    finally:
        keeper.stop()
    migrate.downgrade(database.owner, "0003")
    with pytest.raises(SchemaMismatch, match="migration failed"):
        migrate.upgrade(database.operator)
