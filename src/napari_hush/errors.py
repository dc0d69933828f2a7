"""The errors that a user can mend: their message says what was expected, what came, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class InputError(ValueError):
    """Input that cannot be used as it is; the command line prints it as one line and exits with code 2."""


class FileFormatError(InputError):
    """A file that is truncated, foreign, malicious, or not what its name says."""


class SeveralImagesError(InputError):
    """A file with several images of which none was chosen.

    Parameters
    ----------
    message : str
        Which there are, and how one is chosen.
    choices : sequence of str
        The path of each image, as readers take it: ``file.h5:/group/data``.
    """

    def __init__(self, message: str, choices: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.choices = tuple(choices)


class ModelFileError(FileFormatError):
    """A model file that cannot be loaded safely."""
