"""Hide from recsys_lib, and from nobody else, what another operating system does not have.

A copy of this file named sitecustomize.py on the path of modules works in every process that
Python starts: kernels and workers too. DISGUISE names the system.
"""

import builtins
import io
import os
import signal
import sys
import types
from typing import Any

# What Python's documentation calls unavailable there.
MISSING: dict[str, dict[str, set[str]]] = {
    "darwin": {"os": {"sched_getaffinity", "sched_setaffinity", "pidfd_open"}, "signal": set()},
    "win32": {
        "os": {
            *("fork", "forkpty", "register_at_fork", "wait", "wait3", "wait4", "WNOHANG"),
            *("getuid", "geteuid", "getgid", "getegid", "getgroups", "setuid", "setgid"),
            *("getpgid", "getpgrp", "getsid", "setsid", "setpgid", "killpg", "nice"),
            *("sched_getaffinity", "sched_setaffinity", "pidfd_open", "uname", "sysconf"),
            *("chown", "lchown", "fchown", "mkfifo", "getloadavg", "statvfs", "sync"),
        },
        "signal": {
            *("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGQUIT"),
            *("SIGPIPE", "SIGSTOP", "SIGTSTP", "SIGCONT", "alarm", "setitimer", "pause"),
            *("pthread_sigmask", "pthread_kill", "sigwait", "siginterrupt"),
        },
    },
}
MODULES = {
    "darwin": set(),
    "win32": {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"},
}
_FOLDERS = ("/proc", "/sys")
# Modules through which the library asks for a file.
_BETWEEN = {"pathlib", "io", "os", "posixpath", "genericpath", "shutil", "tempfile", "contextlib"}


def _asked_by_library(depth: int) -> bool:
    frame = sys._getframe(depth)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.split(".")[0] == "recsys_lib":
            return True
        if name.split(".")[0] not in _BETWEEN:
            return False
        frame = frame.f_back
    return False


def _disguise_module(module: types.ModuleType, missing: set[str], **instead: str) -> None:
    class Disguised(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if name in missing or name in instead:
                asking = sys._getframe(1).f_globals.get("__name__", "")
                if asking.split(".")[0] == "recsys_lib":
                    if name in instead:
                        return instead[name]
                    raise AttributeError(f"this system has no {name!r}")
            return super().__getattribute__(name)

    module.__class__ = Disguised


def _hide_imports(modules: set[str]) -> None:
    real = builtins.__import__

    def disguised(name: str, globals: Any = None, *rest: Any, **more: Any) -> Any:
        asking = (globals or {}).get("__name__") or ""
        if name.split(".")[0] in modules and asking.split(".")[0] == "recsys_lib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, globals, *rest, **more)

    builtins.__import__ = disguised


def _hide_folders() -> None:
    def hiding(real: Any) -> Any:
        def disguised(path: Any = ".", *rest: Any, **more: Any) -> Any:
            try:
                text = os.fsdecode(path)
            except TypeError:  # a number of an open file
                text = ""
            if text.startswith(_FOLDERS) and _asked_by_library(2):
                raise FileNotFoundError(2, "No such file or directory", text)
            return real(path, *rest, **more)

        return disguised

    for name in ("open", "stat", "lstat", "listdir", "scandir", "readlink"):
        setattr(os, name, hiding(getattr(os, name)))
    builtins.open = io.open = hiding(builtins.open)


def disguise(system: str) -> None:
    """Let recsys_lib see `system` in this process."""
    missing = MISSING[system]
    _hide_folders()
    _hide_imports(MODULES[system])
    _disguise_module(os, missing["os"], name="nt" if system == "win32" else "posix")
    _disguise_module(signal, missing["signal"])
    _disguise_module(sys, set(), platform=system)


if "DISGUISE" in os.environ:
    disguise(os.environ["DISGUISE"])
