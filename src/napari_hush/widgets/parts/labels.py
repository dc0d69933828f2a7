"""What settings and their values are called in the docks: one plain word for each thing, in forms and in messages."""

from __future__ import annotations

AUTOMATIC = "automatic"
PLAIN = {
    "n": "Images",
    "guard": "Give back",
    "match": "Other units",
    "ema": "Averaging",
    "clip": "Largest step",
    "held_share": "Share kept aside",
    "patience": "Wait for better",
    "warmup": "Slow start",
}


def label_of(name: str) -> str:
    """What stands before the control of a setting.

    Examples
    --------
    >>> label_of("batch_size"), label_of("n")
    ('Batch size', 'Images')
    """
    return PLAIN.get(name, name.replace("_", " ").capitalize())


def said(value: object) -> str:
    """What stands in a list for a value.

    Examples
    --------
    >>> said("auto"), said("cpu")
    ('automatic', 'cpu')
    """
    return AUTOMATIC if value == "auto" else str(value)
