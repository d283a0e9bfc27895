"""Errors that are meant for the person at the keyboard."""


class Smirk3dError(RuntimeError):
    """A failure with a one-line message that names the file and the remedy; shown without a traceback."""


class NoFaceError(Smirk3dError):
    """A picture that can be read and in which no face is found."""


class UsageError(Smirk3dError):
    """A request that cannot be meant, such as a folder without images as the only input."""
