"""A URL in, a database that keeps what it confirms out: SQLite in WAL mode with full synchronisation, or PostgreSQL.

Reading transactions begin as they are; writing ones take SQLite's write lock at once (`BEGIN IMMEDIATE`), since one
that upgrades later fails with "database is locked" whatever the timeout.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from covid_xray.errors import Busy, CovidXrayError, MissingPackage, StoreFull, UsageError

_WAIT_SECONDS = 30.0  # for another writer
_MIGRATION_LOCK = 0x636F7669  # any number, the same for all servers of one PostgreSQL database


class Database:
    """Connections to one database whose tables are those of this version.

    Args:
        url: `sqlite:///path` or `postgresql+psycopg://...`.

    Raises:
        UsageError: no URL of these two kinds.
        MissingPackage: PostgreSQL without psycopg.
        Busy: the database cannot be reached (`store-unavailable`).
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._writer = self._engine.execution_options(writes=True)
        with _translated():
            self._migrate()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads. Raises `Busy` and `StoreFull`."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is on disk when the block has ended, or not at all. Raises `Busy` and `StoreFull`."""
        with _translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config

        with self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite file, which is made for its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return str(sa.URL.create("sqlite", database=str(file)).render_as_string(hide_password=False))


def insert_once(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> bool:
    """Insert a row unless its primary key is taken; whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(values).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(statement).first() is not None


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UsageError(
            "expected a database URL such as postgresql+psycopg://user@host/name. Received: another"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        engine = sa.create_engine(parsed, connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() != "postgresql":
        raise UsageError(f"expected a database of sqlite or postgresql. Received: {parsed.get_backend_name()}")
    try:
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ModuleNotFoundError:
        raise MissingPackage('expected psycopg to be installed: pip install "covid-xray[postgresql]"') from None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The database's own exceptions hold statements and values: only what they mean gets out."""
    try:
        yield
    except sa.exc.OperationalError as error:
        full = "full" in str(error.orig)
    except sa.exc.SQLAlchemyError as error:
        raise CovidXrayError(
            f"expected the database to take what it was given. Received: {type(error).__name__}", code="store-failed"
        ) from None
    else:
        return
    if full:
        raise StoreFull("expected room on the disk of the database. Received: none")
    raise Busy(
        "expected a database that answers. Received: it is locked or cannot be reached",
        code="store-unavailable",
        retry_after=5,
    )
