"""Choose and report the device that trains."""

from dataclasses import dataclass

from recsys_lib.checks import check_choice, check_integer
from recsys_lib.errors import DeviceError
from recsys_lib.training import backend
from recsys_lib.training._keras import keras

DEVICES = ("auto", "cpu", "gpu")
PRECISIONS = ("float32", "mixed_bfloat16")
_last: "DeviceReport | None" = None


@dataclass(frozen=True)
class DeviceReport:
    """The device requested, the devices found, and the one that trains.

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
    devices : int
        Among how many of its kind a step is shared.
    deterministic : bool
        Whether operations must give the same bits each time.
    """

    device: str
    requested: str
    seen: tuple[str, ...]
    backend: str
    precision: str
    devices: int = 1
    deterministic: bool = False

    def __str__(self) -> str:
        """Return a one-line summary."""
        parts = [f"{self.requested!r} asked for", f"{self.backend} sees {', '.join(self.seen)}"]
        parts += [self.precision]
        parts += [f"{self.devices} devices"] if self.devices > 1 else []
        parts += ["deterministic"] if self.deterministic else []
        return f"{self.device.upper()} ({'; '.join(parts)})"


def configure(
    device: str = "auto",
    *,
    precision: str = "float32",
    devices: int = 1,
    deterministic: bool = False,
) -> DeviceReport:
    """Choose the devices and the precision of the networks built from now on.

    Parameters
    ----------
    device : {"auto", "cpu", "gpu"}
        "auto" takes a GPU where there is one. GPU memory is taken as it is needed, never all at
        once, so that several notebooks can share a card.
    precision : {"float32", "mixed_bfloat16"}
        "mixed_bfloat16" multiplies in bfloat16 and keeps weights and losses in float32. For GPUs,
        and on TensorFlow for CPUs with such products (AVX512-BF16, AMX); others become slower.
    devices : int
        Divide the large weights by columns among so many GPUs of this machine, >= 1; on JAX only.
        A CPU is divided into so many, which is of use for trying it out only.
    deterministic : bool
        Have a GPU give the same bits each time, at some cost in speed; on a CPU two runs are equal
        anyway. It lasts as long as the process.

    Returns
    -------
    DeviceReport

    Raises
    ------
    DeviceError
        If a GPU is asked for and none is seen, if there are fewer than `devices`, or if TensorFlow
        is asked for several.
    RuntimeError
        If the backend already runs on another device: restart the process.
    TypeError, ValueError
        If an argument is none of its choices.

    Notes
    -----
    With several devices JAX divides the program: the result is that of one device but for rounding.
    Networks whose weights all have fewer than half a million numbers do not gain from a second
    device, since such weights are not divided.

    Examples
    --------
    >>> configure("cpu").device
    'cpu'
    """
    check_choice("device", device, DEVICES)
    check_choice("precision", precision, PRECISIONS)
    check_integer("devices", devices, minimum=1)
    global _last
    if deterministic:
        backend.be_deterministic()
    if device == "cpu":
        backend.use_devices(devices, kind="cpu")  # JAX divides a CPU before it is first seen
    seen = tuple(backend.describe_devices())
    n_gpus = len(seen) - 1
    _check_there(device, devices, seen)
    kind = "gpu" if n_gpus and device != "cpu" else "cpu"
    if kind == "gpu":
        backend.set_memory_growth()
    elif n_gpus:
        backend.limit_to_cpu()
    backend.use_devices(devices, kind=kind)
    keras.config.set_dtype_policy(precision)
    _last = DeviceReport(kind, device, seen, backend.NAME, precision, devices, deterministic)
    return _last


def configured() -> DeviceReport | None:
    """Return the last report of `configure` in this process; None if it was not called."""
    return _last


def _check_there(device: str, devices: int, seen: tuple[str, ...]) -> None:
    """Raise `DeviceError` if the requested GPUs are missing."""
    n_gpus = len(seen) - 1
    if device == "gpu" and not n_gpus:
        raise DeviceError(
            f"`device='gpu'` must find a GPU; {backend.NAME} sees {', '.join(seen)} only. "
            "Use device='auto' or 'cpu', or install the CUDA build and its driver."
        )
    if device != "cpu" and devices > max(n_gpus, 1):
        raise DeviceError(
            f"`devices={devices}` must find as many GPUs; {backend.NAME} sees {', '.join(seen)}. "
            "Ask for fewer, or give device='cpu' to divide the CPU."
        )


def in_use() -> dict[str, str | int]:
    """Return the device, backend and precision in use, to be recorded beside measured times.

    Returns
    -------
    dict
        ``device``, such as "GPU: NVIDIA H100", ``devices``, ``backend``, ``precision``.

    Examples
    --------
    >>> sorted(in_use())
    ['backend', 'device', 'devices', 'precision']
    """
    return {
        "device": backend.device_in_use(),
        "devices": backend.n_devices(),
        "backend": backend.NAME,
        "precision": keras.config.dtype_policy().name,
    }
