"""Messages in the words of the docks: arguments of Python and options of commands become the controls to go to."""

from __future__ import annotations

import re

from napari_hush.widgets.parts.labels import AUTOMATIC, label_of

SAID = {"auto": AUTOMATIC, "True": "on", "False": "off", "None": AUTOMATIC}
CONTROLS = {
    **{name: label_of(name) for name in
       "device tile batch_size engine precision guard rescale frames normalize dark spacing match repeats truth model "
       "patch steps minutes learning_rate network".split()},
    "channel_axis": "Channels",
}  # fmt: skip
FILES = ("upsampling", "value_range", "normalization", "entry")  # what a foreign model file needs to be told
QUOTES = "\"'"
_GIVEN = re.compile(r"(?<![\w-])(\w+)=(\"[^\"]*\"|'[^']*'|\([^)]*\)|-?[\w.]+)")
_BARE = re.compile(r"(?<![\w-])(\w+)=(?=[\s,.;:)]|$)")
_OPTION = re.compile(r"\s*\((?:(?:or )?--[a-z-]+[^)]*)\)|(?<=\w)\s+with (?:--[a-z-]+)")
CONVERT = "To say so, choose under Model the file that 'napari-hush convert FILE OUT.safetensors {}' makes"
_ANEW = re.compile(r" with --no-resume \(in Python\s+resume=False, in napari Begin anew\)")
_OLDER = "choose another name, or give --overwrite"
_RESUME = re.compile(r" (?:\(--resume, in Python resume=True\)|\(--no-resume, resume=False\))")


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
    >>> in_dock_words("if axis 0 holds channels, give channel_axis=0 (--channel-axis 0, Channels in the dock)")
    'if axis 0 holds channels, give Channels: axis 0'
    """
    text = text.replace(_OLDER, "move it away, or choose other images")
    text = _BARE.sub(lambda found: CONTROLS.get(found[1], found[0]), text)
    said = _GIVEN.sub(_control, _OPTION.sub("", _ANEW.sub(" (Begin anew)", _RESUME.sub("", text))))
    options = [
        f"--{one[1].replace('_', '-')} {one[2].strip(QUOTES)}" for one in _GIVEN.finditer(text) if one[1] in FILES
    ]
    return f"{said}. {CONVERT.format(' '.join(options))}" if options else said


def _control(found: re.Match[str]) -> str:
    name, value = found[1], found[2].strip(QUOTES)
    if name in FILES:
        return f"{name.replace('_', ' ')} {value}"
    if name not in CONTROLS:
        return found[0]
    if name == "channel_axis":
        return f"Channels: {'the last axis' if value == '-1' else f'axis {value}'}"
    return f"{CONTROLS[name]}: {SAID.get(value, value)}"
