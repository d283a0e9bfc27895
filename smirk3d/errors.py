"""Errors that are meant for the person at the keyboard."""


class Smirk3dError(RuntimeError):
    """A failure with a one-line message that names the file and the remedy; shown without a traceback."""
