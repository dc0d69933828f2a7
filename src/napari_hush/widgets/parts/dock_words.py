"""Messages in the words of the docks: arguments of Python and options of commands become the controls to go to."""

from __future__ import annotations

from napari_hush.keywords import FILES, converting, reworded
from napari_hush.widgets.parts.labels import AUTOMATIC, label_of

SAID = {"auto": AUTOMATIC, "True": "on", "False": "off", "None": AUTOMATIC}
CONTROLS = {
    **{name: label_of(name) for name in
       "device tile batch_size engine precision guard rescale frames normalize dark spacing match repeats truth model "
       "patch steps minutes learning_rate network".split()},
    "channel_axis": "Channels",
}  # fmt: skip
RESUMING = {"True": "Go on", "False": "Begin anew"}
BY_COMMAND = {"fill_missing": "with 'napari-hush denoise --fill-missing'"}
SAY_SO = "{}. To say so, choose under Model the file that {} makes"
_OLDER = "choose another name, or give --overwrite"


def in_dock_words(text: str) -> str:
    """A message as somebody reads it who sees the docks alone.

    Parameters
    ----------
    text : str
        For Python or the command line.

    Examples
    --------
    >>> in_dock_words("no lattice was found: use guard='auto'")
    'no lattice was found: use Give back: automatic'
    >>> in_dock_words("if axis 0 holds channels, give channel_axis=0")
    'if axis 0 holds channels, give Channels: axis 0'
    """
    said = reworded(text.replace(_OLDER, "move it away, or choose other images"), _control)
    command = converting(text)
    return SAY_SO.format(said.rstrip("."), command) if command else said


def _control(name: str, value: str | None) -> str | None:
    if name == "resume" and value in RESUMING:
        return RESUMING[value]
    if name in (*FILES, "dtype") and value is not None:
        return f"{name.replace('_', ' ')} {value}"
    if name in BY_COMMAND:
        return BY_COMMAND[name]
    if name not in CONTROLS or value is None:
        return CONTROLS.get(name)
    if name == "channel_axis":
        return f"Channels: {'the last axis' if value == '-1' else f'axis {value}'}"
    return f"{CONTROLS[name]}: {SAID.get(value, value)}"
