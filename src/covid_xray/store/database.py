"""Open SQLite (WAL mode, full synchronisation) or PostgreSQL, and run transactions that are durable once committed.

Writing transactions take the write lock of SQLite at the start (`BEGIN IMMEDIATE`): one that upgrades from reading to
writing fails with "database is locked" whatever the timeout.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from covid_xray.errors import Busy, CovidXrayError, MissingPackage, StoreFull, UsageError

_WAIT_SECONDS = 30.0  # that a writer waits for another one
_MIGRATION_LOCK = 0x636F7669  # an arbitrary number that all servers of one PostgreSQL database share


class Database:
    """Connections to one database; opening it migrates its tables to this version.

    Args:
        url: `sqlite:///path` or `postgresql+psycopg://...`.

    Raises:
        UsageError: the URL is of neither kind.
        MissingPackage: PostgreSQL without psycopg.
        Busy: the database cannot be reached (`store-unavailable`).
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._writer = self._engine.execution_options(writes=True)
        with _translated_errors():
            self._migrate()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Run a reading transaction. Raises `Busy` and `StoreFull`."""
        with _translated_errors(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Run a writing transaction, committed to disk when the block ends. Raises `Busy` and `StoreFull`."""
        with _translated_errors(), self._writer.begin() as connection:
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
    """Create an SQLite file (mode 0600) if it is missing and return its URL."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return str(sa.URL.create("sqlite", database=str(file)).render_as_string(hide_password=False))


def insert_once(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> bool:
    """Insert a row unless its primary key exists; return whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(values).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(statement).first() is not None


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UsageError("Invalid database URL. Write it as postgresql://user@host/name.") from None
    if parsed.get_backend_name() == "sqlite":
        engine = sa.create_engine(parsed, connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() != "postgresql":
        raise UsageError(f"Unsupported database {parsed.get_backend_name()!r}. Use sqlite or postgresql.")
    try:
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ModuleNotFoundError:
        raise MissingPackage('psycopg is not installed: pip install "covid-xray[postgresql]"') from None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins the transactions, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate the database's exceptions, whose texts hold statements and values that must not get out."""
    try:
        yield
    except sa.exc.OperationalError as error:
        full = "full" in str(error.orig)
    except sa.exc.SQLAlchemyError as error:
        message = f"The database refused a statement ({type(error).__name__}). Please report this as a bug."
        raise CovidXrayError(message, code="store-failed") from None
    else:
        return
    if full:
        raise StoreFull("The disk of the database is full. Delete studies or add disk space.")
    message = "The database does not answer: it is locked or cannot be reached. Try again later."
    raise Busy(message, code="store-unavailable", retry_after=5)
