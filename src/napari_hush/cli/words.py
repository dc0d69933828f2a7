"""Messages in the words of the command line: settings of Python become options."""

from __future__ import annotations

from napari_hush.keywords import FILES, converting, option, reworded

OPTIONS = frozenset(
    "aligned batch_size channel_axis clip companions crop dark depth device dtype engine epochs fill_missing first "
    "frames guard kind layout learning_rate licence match minutes n network network_options noise_like normalize "
    "on_bad overwrite patch patience percentiles period precision preset repeats rescale rescale_to resume seed shape "
    "slices spacing start steps strength test_share tile truth validate_every validation_images validation_share "
    "warmup window workers world".split()
)  # those of any command; a text that looks like a setting may be a part of a file's name
SAY_SO = "{}. Say so with {}, and take the file that it makes"


def in_command_words(text: str) -> str:
    """A message as somebody reads it who types commands.

    Parameters
    ----------
    text : str
        For Python.

    Examples
    --------
    >>> in_command_words("no lattice was found: use guard='auto'")
    'no lattice was found: use --guard auto'
    >>> in_command_words("give its period as spacing=, in px; batch_size must be 1")
    'give its period as --spacing, in px; --batch-size must be 1'
    """
    said = reworded(text, _option)
    command = converting(text)
    return SAY_SO.format(said.rstrip("."), command) if command else said


def _option(name: str, value: str | None) -> str | None:
    if name in FILES and value is not None:
        return f"{name.replace('_', ' ')} {value}"
    return option(name, value) if name in OPTIONS else None
