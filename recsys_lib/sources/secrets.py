"""Passwords of databases: from the environment or the keyring, never in a URL or a message."""

import os
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from recsys_lib.errors import ConfigError

__all__ = ["PASSWORD", "find_password", "plain_reason", "shown_url", "split_url"]

#: Environment variable with the password of a database.
PASSWORD = "RECSYS_DB_PASSWORD"


def split_url(url: str) -> SplitResult:
    """Return the parts of a database URL that holds no password.

    Raises
    ------
    ConfigError
        If it holds one; the message shows the URL without it.

    Examples
    --------
    >>> split_url("postgresql://ann:pa55@host/db")
    Traceback (most recent call last):
    recsys_lib.errors.ConfigError: A database URL must hold no password, because parameters end up
    in notebooks and manifests; postgresql://ann@host/db does. Put it into the environment variable
    RECSYS_DB_PASSWORD.
    """
    parts = urlsplit(url)
    options = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.password is not None or options & {"password", "passwd", "pwd"}:
        raise ConfigError(
            "A database URL must hold no password, because parameters end up in notebooks and "
            f"manifests; {shown_url(parts)} does. Put it into the environment variable {PASSWORD}."
        )
    return parts


def shown_url(parts: SplitResult) -> str:
    """Return the URL without password and options.

    Examples
    --------
    >>> shown_url(urlsplit("postgresql://ann:pa55@host:5432/db?sslkey=pa55"))
    'postgresql://ann@host:5432/db'
    """
    if parts.scheme in ("duckdb", "sqlite"):
        return f"{parts.scheme}://{parts.netloc}{parts.path}"
    host = parts.hostname or ""
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{user}{host}{port}", parts.path, "", ""))


def find_password(parts: SplitResult) -> str | None:
    """Return the password for a URL: ``RECSYS_DB_PASSWORD``, else that of the keyring, else None.

    In the keyring it is that of the service ``recsys-lib`` under the name ``user@host``.
    """
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    try:
        import keyring
    except ImportError:
        return None
    try:
        found: str | None = keyring.get_password("recsys-lib", f"{parts.username}@{parts.hostname}")
    except keyring.errors.KeyringError:  # a machine without a desktop has no store
        return None
    return found


def plain_reason(error: Exception) -> str:
    """Return the first line of what a driver says, without the password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = (lines or [type(error).__name__])[0].rstrip(".")
    secret = os.environ.get(PASSWORD)
    return text.replace(secret, "***") if secret else text
