"""Errors that are reported to the user without a traceback."""


class Smirk3dError(RuntimeError):
    """A failure with a one-line message that names the cause, usually a file, and the remedy."""


class NoFaceError(Smirk3dError):
    """A readable image in which no face is detected."""


class UsageError(Smirk3dError):
    """Wrong usage, such as a folder without images as the only input; exit code 2."""


class InvalidOptionError(UsageError, ValueError):
    """A value that an option does not take; the message lists those that it takes."""
