"""What a setting must be: a value that cannot be used is refused in one line that names its key."""

import math
from collections.abc import Callable
from numbers import Integral, Real

from kronos_lab.errors import InputError


def whole_number(key: str, value: object, least: int, most: int | None = None) -> int:
    """The value of a setting that counts something.

    Args:
        key: as the user types it.
        value: what was given for it; text and fractions are refused.
        least: smallest value that makes sense.
        most: largest one; None for no bound.

    Raises:
        InputError: it is no such number.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        number = int(value)
        if least <= number and (most is None or number <= most):
            return number
    bounds = f"at least {least}" if most is None else f"from {least} to {most}"
    raise InputError(f"{key}={_as_typed(value)} must be a whole number, {bounds}")


def positive_number(key: str, value: object) -> float:
    """The value of a setting that measures something, above zero; see `whole_number`."""
    return sound_number(key, value, lambda number: number > 0, "must be a number above 0")


def sound_number(key: str, value: object, sound: Callable[[float], bool], complaint: str) -> float:
    """The value of a setting with a range of its own; see `whole_number`.

    Args:
        key: as the user types it.
        value: what was given for it; text, NaN and infinity are refused.
        sound: whether a number lies in the range.
        complaint: what to say where it does not, after `key=value`.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and sound(number):
            return value if isinstance(value, int) else number
    raise InputError(f"{key}={_as_typed(value)} {complaint}")


def switch(key: str, value: object) -> bool:
    """The value of a setting that is on or off; any other value would count as on."""
    if not isinstance(value, bool):
        raise InputError(f"{key}={_as_typed(value)} must be true or false")
    return value


def _as_typed(value: object) -> object:
    return "null" if value is None else value
