"""What a sweep says while it works, and the table at its end."""

import shutil
import time
from typing import TextIO

import pandas as pd

from recsys_lib.pipeline.sweeping.pulse import heard, work_folder
from recsys_lib.pipeline.sweeping.state import Entry, SweepState

__all__ = ["SweepLines", "closing_table", "key_metrics"]

_SHOWN_METRICS = 4
_METRIC = "{:.4g}".format


class SweepLines:
    """One line for each setting that ended; on a terminal, a moving table of the others below.

    Parameters
    ----------
    stream : text stream
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._told: set[str] = set()
        self._drawn = 0

    def __call__(self, state: SweepState) -> None:
        """Show how the sweep stands."""
        width = max((len(one.setting.name) for one in state.entries), default=0)
        lines = [
            f"[{len(self._told)}/{len(state.entries)}] {_ended(one, width)}"
            for one in state.entries
            if one.status in ("done", "failed", "interrupted") and self._tell_once(one)
        ]
        if not self._live:
            self._stream.write("".join(f"{line}\n" for line in lines))
        else:
            self._redraw(lines, _table(state, width))
        self._stream.flush()

    def _tell_once(self, entry: Entry) -> bool:
        new = entry.setting.name not in self._told
        self._told.add(entry.setting.name)
        return new

    def _redraw(self, ended: list[str], table: list[str]) -> None:
        size = shutil.get_terminal_size()
        table = [line[: size.columns - 1] for line in table[-(size.lines - 1) :]]
        back = f"\x1b[{self._drawn}F" if self._drawn else ""
        text = "".join(f"\x1b[K{line}\n" for line in (*ended, *table))
        self._stream.write(f"{back}{text}\x1b[J")
        self._drawn = len(table)


def _ended(entry: Entry, width: int) -> str:
    again = f"  after {entry.attempts - 1} lost" if entry.attempts > 1 else ""
    if entry.status == "done":
        said = f"{entry.seconds:7.1f} s  {entry.peak_memory / 1e9:4.2f} GB"
        how = "done" if entry.ran else "unchanged"
    else:
        said, how = entry.message, entry.status.upper()
    return f"{entry.setting.name:<{width}}  {how:<11} {said}{again}".rstrip()


def _table(state: SweepState, width: int) -> list[str]:
    running = [one for one in state.entries if one.status == "running"]
    lines = [f"{one.setting.name:<{width}}  {_now(state, one)}" for one in running]
    if state.status == "running" and (running or state.count("waiting")):
        counts = (
            f"{state.count('done')} of {len(state.entries)} done, {len(state.failed)} failed, "
            f"{state.count('waiting')} waiting; {state.workers} at once, {state.need / 1e9:.1f} GB "
            f"each; {_clock(time.monotonic() - state.clock)}"
        )
        lines.append(counts)
    return lines


def _now(state: SweepState, entry: Entry) -> str:
    seconds = time.monotonic() - entry.begun
    news = heard(work_folder(state.folder) / f"{entry.setting.name}.json")
    if news.get("token") != state.token:
        return f"starts      {seconds:4.0f} s"
    done, cells = news["cells"]
    if news["what"] == "waits":
        return f"waits for {news['notebook']} of another setting  {seconds:4.0f} s"
    return f"{news['notebook']}  {done}/{cells} cells  {seconds:4.0f} s"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def key_metrics(table: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the few metrics that tell most: those that differ between settings, in chain order.

    Parameters
    ----------
    table : DataFrame
        As `SweepState.table` returns it.
    names : list of str
        The columns that are metrics.
    """
    # As they will be shown: what differs in the ninth digit has not moved.
    moved = [name for name in names if len({_METRIC(one) for one in table[name].dropna()}) > 1]
    return (moved or names)[:_SHOWN_METRICS]


def closing_table(state: SweepState) -> str:
    """Return the table at the end of a sweep: parameters, status, cost and key metrics.

    Parameters
    ----------
    state : SweepState
    """
    table = state.table()
    metrics = list(dict.fromkeys(name for one in state.entries for name in one.metrics))
    varied = list(dict.fromkeys(name for one in state.entries for name in one.setting.varied))
    shown = table[[*varied, "status", "seconds", "peak_gb", *key_metrics(table, metrics)]]
    formats = {"seconds": "{:.1f}".format, "peak_gb": "{:.2f}".format}
    for name in metrics:
        formats[name] = _METRIC
    text = shown.to_string(formatters=formats, na_rep="", index_names=True)
    return "\n".join(line.rstrip() for line in str(text).splitlines())
