"""The errors that a user can mend: their message says what was expected, what came, and what to do."""


class InputError(ValueError):
    """Input that cannot be used as it is; the command line prints it as one line and exits with code 2."""


class FileFormatError(InputError):
    """A file that is truncated, foreign, malicious, or not what its name says."""


class ModelFileError(FileFormatError):
    """A model file that cannot be loaded safely."""
