"""Registries in SQLite, and in a PostgreSQL that the tests start."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra [serve]")

from valle.registry.registry import Registry


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, where Debian or the path has them."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    return folders[0] if folders else Path(on_path).parent if on_path else None


def as_postgres() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return (
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        if os.getuid() == 0
        else []
    )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty PostgreSQL server, without the name of a database."""
    pytest.importorskip("psycopg", reason="needs the extra [postgres]")
    programs = find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *list(folder.parents)[:-2]):
        parent.chmod(parent.stat().st_mode | 0o055)
    folder.chmod(0o777)
    data = folder / "data"
    options = ["-D", str(data), "-U", "valle", "-A", "trust", "-N"]
    command = [*as_postgres(), str(programs / "initdb"), *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-p", str(port), "-k", str(folder), "-c", "fsync=off", "-h", "127.0.0.1"]
    server = subprocess.Popen(
        [*as_postgres(), str(programs / "postgres"), "-D", str(data), *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"postgresql://valle@127.0.0.1:{port}"
        wait_for_postgres(url)
        yield url
    finally:
        server.terminate()
        server.wait(20)


def wait_for_postgres(url: str) -> None:
    import psycopg

    for _ in range(600):
        try:
            psycopg.connect(f"{url}/postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start")


def make_database(postgres: str, name: str) -> str:
    """Create an empty database, and return its URL."""
    import psycopg

    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{postgres}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    return make_database(request.getfixturevalue("postgres"), name)


@pytest.fixture
def registry(database_url: str, tmp_path: Path, home: Path) -> Iterator[Registry]:
    registry = Registry(database_url, str(tmp_path / "objects"))
    yield registry
    registry.close()
