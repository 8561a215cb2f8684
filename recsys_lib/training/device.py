"""Which device trains: one place that reports it and configures it."""

from dataclasses import dataclass

from recsys_lib.checks import check_choice
from recsys_lib.errors import DeviceError
from recsys_lib.training import backend
from recsys_lib.training.quiet import keras

__all__ = ["DeviceReport", "configure", "configured"]

DEVICES = ("auto", "cpu", "gpu")
PRECISIONS = ("float32", "mixed_bfloat16")
_last: "DeviceReport | None" = None


@dataclass(frozen=True)
class DeviceReport:
    """What was asked for, what was seen, and what trains.

    Attributes
    ----------
    device : {"cpu", "gpu"}
        What trains.
    requested : {"auto", "cpu", "gpu"}
        What was asked for.
    seen : tuple of str
        Every device that the backend sees, such as ``("CPU", "GPU: NVIDIA H100")``.
    backend : {"tensorflow", "jax"}
    precision : {"float32", "mixed_bfloat16"}
    """

    device: str
    requested: str
    seen: tuple[str, ...]
    backend: str
    precision: str

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.device.upper()} ({self.requested!r} asked for; {self.backend} sees "
            f"{', '.join(self.seen)}; {self.precision})"
        )


def configure(device: str = "auto", *, precision: str = "float32") -> DeviceReport:
    """Choose the device and the precision of the networks built from now on.

    Parameters
    ----------
    device : {"auto", "cpu", "gpu"}
        "auto" takes a GPU where there is one. GPU memory is taken as it is needed, never all at
        once, so that several notebooks can share a card.
    precision : {"float32", "mixed_bfloat16"}
        "mixed_bfloat16" multiplies in bfloat16 and keeps weights and losses in float32.

    Returns
    -------
    DeviceReport

    Raises
    ------
    DeviceError
        If a GPU is asked for and none is seen, or if the backend already runs on another device.
    ValueError
        If an argument is none of its choices.

    Examples
    --------
    >>> configure("cpu").device
    'cpu'
    """
    check_choice("device", device, DEVICES)
    check_choice("precision", precision, PRECISIONS)
    seen = tuple(backend.describe_devices())
    has_gpu = len(seen) > 1
    if device == "gpu" and not has_gpu:
        raise DeviceError(
            f"`device='gpu'` must find a GPU; {backend.NAME} sees {', '.join(seen)} only. "
            "Use device='auto' or 'cpu', or install the CUDA build and its driver."
        )
    takes_gpu = has_gpu and device != "cpu"
    try:
        if takes_gpu:
            backend.set_memory_growth()
        elif has_gpu:
            backend.limit_to_cpu()
    except RuntimeError as error:
        raise DeviceError(
            f"`configure` must run before anything is computed; {error}. Restart the process."
        ) from error
    keras.config.set_dtype_policy(precision)
    global _last
    _last = DeviceReport("gpu" if takes_gpu else "cpu", device, seen, backend.NAME, precision)
    return _last


def configured() -> DeviceReport | None:
    """Return what `configure` reported last in this process; None where it was not called."""
    return _last
