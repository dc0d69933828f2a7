"""The check that the settings of a noise lie in their ranges."""

from __future__ import annotations

from numbers import Integral, Real

from napari_hush.errors import InputError


def check_ranges(settings: object, *, whole: bool = False, **ranges: tuple[float, float]) -> None:
    """Refuse fields that are no numbers or lie outside their range.

    Parameters
    ----------
    settings : object
        The settings; its class gives the message its first word.
    whole : bool
        Whether the fields must be whole numbers.
    **ranges : (float, float)
        Lowest and highest value allowed, by the name of the field.

    Raises
    ------
    InputError
        Naming the field, its range and what came.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> check_ranges(SimpleNamespace(dose=10.0), dose=(0, 1e9))
    """
    kind = Integral if whole else Real
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= float(value) <= high:
            number = "be a whole number and " if whole else ""
            raise InputError(
                f"{type(settings).__name__}: {name} must {number}lie between {low:g} and {high:g}; got {value!r}"
            )
