"""The process that serves: who may reach it, its workers, and how it stops."""

import ipaddress
import json
import os
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from recsys_lib._system import limited_threads
from recsys_lib.artifacts import read_manifest
from recsys_lib.checks import check_integer
from recsys_lib.errors import ConfigError
from recsys_lib.serving.app import create_app
from recsys_lib.serving.guard import Limits

_KEY, _SETTINGS, _METRICS = "RECSYS_API_KEY", "RECSYS_SERVE", "PROMETHEUS_MULTIPROC_DIR"
# Seconds that a worker has to say that it lives; on a busy machine it takes ten to begin.
_ALIVE = 60
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_LOG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "recsys_lib.serving.guard.JsonLines"}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {
        name: {"handlers": ["lines"], "level": "INFO", "propagate": False}
        for name in ("uvicorn", "recsys_lib.serving")
    },
}


def serve(
    folder: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    insecure: bool = False,
    origins: Iterable[str] = (),
    limits: Limits | None = None,
) -> None:
    """Serve a bundle over HTTP until the process is told to stop; requests in work are finished.

    Parameters
    ----------
    folder : Path or str
        Where `Bundle.save` wrote the bundle; a new one put there is taken up.
    host : str
        Address to listen on. Any but the loopback needs keys in ``RECSYS_API_KEY``, separated by
        commas or spaces, or `insecure`.
    port : int
        0 takes a free one; the log says which.
    workers : int
        Processes, each with the bundle in memory.
    insecure : bool
        Let everybody ask who reaches the host.
    origins : iterable of str
        As of `create_app`.
    limits : Limits, optional

    Raises
    ------
    ArtifactError
        If the bundle is missing or damaged.
    ConfigError
        If others could reach the service without a key, or something else listens at the port.
    """
    import uvicorn

    check_integer("workers", workers, minimum=1)
    read_manifest(folder, kind="bundle")
    keys = api_keys()
    if not (is_loopback(host) or keys or insecure):
        raise ConfigError(
            f"A host that others reach must ask for a key; {host} is one, and {_KEY} is not set. "
            f"Set {_KEY}, or say --insecure."
        )
    _check_free(host, port)
    settings: dict[str, Any] = {
        "folder": str(Path(folder).absolute()),
        "origins": list(origins),
        "hosts": [*_LOOPBACK, host] if is_loopback(host) and not keys else None,
        "limits": asdict(limits or Limits()),
        "shared": workers > 1,
    }
    os.environ[_SETTINGS] = json.dumps(settings)
    with tempfile.TemporaryDirectory(prefix="recsys-metrics-") as metrics:
        if workers > 1:
            os.environ |= {_METRICS: metrics, **limited_threads(workers)}
        uvicorn.run(
            f"{__name__}:app_of_environment",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_config=_LOG,
            access_log=False,
            ws="none",  # it would log the address of whoever asks for one
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(settings["limits"]["seconds"]) + 1,
            timeout_worker_healthcheck=_ALIVE,
        )


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigError(
            f"{host}, port {port}, must be free to listen at; {error.strerror}. Give another "
            "--port or --host, or stop what listens there."
        ) from None


def app_of_environment() -> FastAPI:
    """Return the application that `serve` has described for its workers."""
    settings = json.loads(os.environ[_SETTINGS])
    limits = Limits(**settings.pop("limits"))
    return create_app(settings.pop("folder"), limits=limits, keys=api_keys(), **settings)


def api_keys() -> list[str]:
    """Return the keys that the environment names."""
    return os.environ.get(_KEY, "").replace(",", " ").split()


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address.

    Examples
    --------
    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0")]
    [True, True, True, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
