"""The connection to the registry's database, and its migrations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from valle.errors import OutputError, UsageError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT = 10.0  # seconds that a writer of SQLite waits for another
_CONNECT_TIMEOUT = 5  # seconds to reach PostgreSQL
_LOCK_ID = 6_081_955  # of the advisory lock under which PostgreSQL is migrated; any constant


class DatabaseUnavailableError(OutputError):
    """The database cannot be reached or written now; it may be back soon."""


class Database:
    """The database of a registry. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Connect to a database, and bring its tables up to date.

        Args:
            url: As SQLAlchemy takes it: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`.

        Raises:
            UsageError: The URL is not one, or names another kind of database.
            DatabaseUnavailableError: The database cannot be reached.
        """
        self.engine = _make_engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._migrate()

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session whose changes are committed together at the end of the block.

        Raises:
            DatabaseUnavailableError: The database cannot be reached or written.
        """
        with (
            _report_failures(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def check(self) -> None:
        """Check that the database answers.

        Raises:
            DatabaseUnavailableError: It does not.
        """
        with self.session() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _migrate(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_report_failures())
            if self.is_sqlite and self.engine.url.database not in (None, "", ":memory:"):
                path = Path(str(self.engine.url.database))
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(filelock.FileLock(f"{path}.lock", timeout=60, mode=0o600))
            connection = stack.enter_context(self.engine.begin())
            if not self.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_ID})"))
            _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    """Run the migrations that this database lacks."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _make_engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        if kind == "sqlite":
            engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT})
            event.listen(engine, "connect", _configure_sqlite)
            return engine
        if kind == "postgresql":
            if parsed.drivername == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
            return create_engine(
                parsed,
                pool_pre_ping=True,
                pool_size=8,
                max_overflow=24,
                connect_args={"connect_timeout": _CONNECT_TIMEOUT},
            )
    except (ArgumentError, NoSuchModuleError, ValueError):
        kind = ""
    # The URL itself stays out of the message: it may hold a password.
    raise UsageError(
        "--database takes sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
        + (f", not a database of {kind}" if kind else "")
    )


def _configure_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # Readers do not wait for the writer, and a commit survives the end of the process.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


@contextlib.contextmanager
def _report_failures() -> Iterator[None]:
    try:
        yield
    except (DataError, UnicodeEncodeError) as error:  # NUL, half of a surrogate pair, too long
        raise UsageError("a value has characters that cannot be stored, or is too long") from error
    except OperationalError as error:
        raise DatabaseUnavailableError(
            f"the database cannot be used now ({_first_line(error)}); try again, and see that it "
            "runs and its disk has room"
        ) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise DatabaseUnavailableError("the connection to the database was lost") from error
    except filelock.Timeout as error:
        raise DatabaseUnavailableError("another process is migrating the database") from error
    except OSError as error:
        raise DatabaseUnavailableError(f"the database cannot be opened: {error}") from error


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0][:200]
