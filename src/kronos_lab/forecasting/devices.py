"""Where models run: the devices of this machine."""

import torch

from kronos_lab.errors import InputError


def available_devices() -> list[str]:
    """Names that `device=` may have on this machine, the fastest first."""
    devices = []
    if torch.cuda.is_available():
        devices += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def fastest_device() -> str:
    """The fastest device of this machine: cuda, mps or cpu."""
    return available_devices()[0]


def resolve_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; None takes the fastest.

    Raises:
        InputError: this machine has no such device.
    """
    devices = available_devices()
    if name is not None and str(name) not in devices:
        raise InputError(f"device={name} is not to be had on this machine: choose {', '.join(devices)}")
    return torch.device(devices[0] if name is None else name)
