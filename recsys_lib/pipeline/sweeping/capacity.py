"""How many settings fit this machine at once: by cores, and by memory as it turns out to be."""

from recsys_lib._system import available_memory

__all__ = ["Capacity"]

# The default world's chain, measured with the worker that runs it; known better after one run.
_FIRST_GUESS = 1.5e9
_WORKER = 0.2e9


class Capacity:
    """The number of settings at once.

    Parameters
    ----------
    workers : int, optional
        Given by the user: then this is it.
    need : float, optional
        Bytes for each at least, given by the user; otherwise a guess until one is measured.
    most : int
        Workers that there are.

    Examples
    --------
    >>> capacity = Capacity(None, most=16, free=9e9)
    >>> capacity.now
    6
    >>> capacity.measured(1e9)
    >>> capacity.now
    7
    """

    def __init__(
        self,
        workers: int | None,
        need: float | None = None,
        *,
        most: int,
        free: float | None = None,
    ) -> None:
        self._workers = workers
        self._free = available_memory() if free is None else free
        self._given = need
        self._most = most
        self._peak = 0.0

    @property
    def need(self) -> float:
        """Bytes that one setting is expected to take."""
        return max(self._peak, self._given or 0.0) or _FIRST_GUESS

    @property
    def now(self) -> int:
        """Settings at once, as far as is known."""
        if self._workers is not None:
            return min(self._workers, self._most)
        return max(1, min(self._most, int(self._free // self.need)))

    def measured(self, peak: float) -> None:
        """Learn what the kernels of a finished setting took; the largest one counts."""
        if peak:
            self._peak = max(self._peak, peak + _WORKER)
