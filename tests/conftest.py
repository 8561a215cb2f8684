"""What all tests share: no deadline for an example, and a PostgreSQL server of their own."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

START_S = 60
# On a busy machine any example may take longer than the 200 ms that Hypothesis allows.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


class Postgres(NamedTuple):
    """Where the server listens; the password is not part of the URL."""

    url: str
    port: int
    password: str


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    which = shutil.which("initdb")
    return Path(which).parent if which else None


def unprivileged() -> str | None:
    """A user to run the server as, where the tests run as root, which PostgreSQL refuses."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a server on a free port in a folder of its own."""
    pytest.importorskip("psycopg", reason="the extra [postgres] is not installed")
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian package)")
    programs_folder, user = found, unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="recsys-postgres-"))
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = "s3cret-of-the-test"
    (folder / "password").write_text(password)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"

    def run(*command: str) -> None:
        subprocess.run(
            [str(programs_folder / command[0]), *command[1:]],
            user=user,
            cwd=folder,
            check=True,
            timeout=START_S,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    data, pwfile = str(folder / "data"), f"--pwfile={folder / 'password'}"
    run("initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", pwfile, "-N")
    run("pg_ctl", "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield Postgres(f"postgresql://tester@127.0.0.1:{port}/postgres", port, password)
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
