"""Progress of a sweep, and the table at its end."""

import time
from typing import TextIO

import pandas as pd

from recsys_lib.pipeline.progress import LiveLines, text_table
from recsys_lib.pipeline.sweeping.state import Entry, SweepState
from recsys_lib.pipeline.sweeping.worker import news_of

_SHOWN_METRICS = 4
_METRIC = "{:.4g}".format


class SweepLines(LiveLines):
    """One line for each setting that ended; on a terminal, a moving table of the others below.

    Parameters
    ----------
    stream : text stream
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown: set[str] = set()
        self._state: SweepState | None = None

    def __call__(self, state: SweepState) -> None:
        """Show the state of the sweep."""
        self._state = state
        for one in state.entries:
            name = one.setting.name
            if one.status in ("done", "failed", "interrupted") and name not in self._shown:
                self._shown.add(name)
                self.stay(f"[{len(self._shown)}/{len(state.entries)}] {_ended(one, _width(state))}")
        if self.moving():
            self.refresh()
        else:
            self.stop()

    def moving(self) -> str:
        """Return a line for each running setting, and the counts."""
        state = self._state
        if state is None:
            return ""
        running = [one for one in state.entries if one.status == "running"]
        lines = [f"{one.setting.name:<{_width(state)}}  {_now(state, one)}" for one in running]
        if state.status == "running" and (running or state.count("waiting")):
            seconds = int(time.monotonic() - state.clock)
            lines.append(
                f"{state.count('done')} of {len(state.entries)} done, {len(state.failed)} failed, "
                f"{state.count('waiting')} waiting; {state.workers} at once, "
                f"{state.need / 1e9:.1f} GB each; {seconds // 60}:{seconds % 60:02d} min"
            )
        return "\n".join(lines)


def _width(state: SweepState) -> int:
    return max((len(one.setting.name) for one in state.entries), default=0)


def _ended(entry: Entry, width: int) -> str:
    again = f"  after {entry.attempts - 1} lost" if entry.attempts > 1 else ""
    if entry.status == "done":
        text = f"{entry.seconds:7.1f} s  {entry.peak_memory / 1e9:4.2f} GB"
        how = "done" if entry.ran else "unchanged"
    else:
        text, how = entry.message, entry.status.upper()
    return f"{entry.setting.name:<{width}}  {how:<11} {text}{again}".rstrip()


def _now(state: SweepState, entry: Entry) -> str:
    seconds = time.monotonic() - entry.begun
    news = news_of(state.folder, entry.setting.name, state.token)
    if not news:
        return f"starts      {seconds:4.0f} s"
    done, cells = news["cells"]
    if news["what"] == "waits":
        return f"waits for {news['notebook']} of another setting  {seconds:4.0f} s"
    return f"{news['notebook']}  {done}/{cells} cells  {seconds:4.0f} s"


def key_metrics(table: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the first few metrics that differ between settings, in the order of the chain.

    Parameters
    ----------
    table : DataFrame
        As `SweepState.table` returns it.
    names : list of str
        The columns that are metrics.
    """
    # As they are shown: a difference in the ninth digit is none.
    moved = [name for name in names if len({_METRIC(one) for one in table[name].dropna()}) > 1]
    return (moved or names)[:_SHOWN_METRICS]


def closing_table(state: SweepState) -> str:
    """Return the table at the end of a sweep: parameters, status, cost and key metrics."""
    table = state.table()
    metrics = list(dict.fromkeys(name for one in state.entries for name in one.metrics))
    varied = list(dict.fromkeys(name for one in state.entries for name in one.setting.varied))
    metrics = key_metrics(table, metrics)
    shown = table[[*varied, "status", "seconds", "peak_gb", *metrics]].astype(object)
    formats = {"seconds": "{:.1f}".format, "peak_gb": "{:.2f}".format}
    for name in ("seconds", "peak_gb", *metrics):
        shown[name] = shown[name].map(formats.get(name, _METRIC), na_action="ignore")
    right = table.select_dtypes("number").columns
    return text_table(shown.reset_index().fillna("").astype(str), right=right)
