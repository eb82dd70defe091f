"""Errors in what a user gave us: one message that names the key or file, the value, and the remedy.

The command line tools print these without a traceback.
"""


class UserError(Exception):
    """Base of every error whose cause is a config, a file or an argument."""


class BadInputError(UserError, ValueError):
    """A value that cannot be used."""


class MissingFileError(UserError, FileNotFoundError):
    """A file that should be there and is not."""


class MissingPackageError(UserError, ModuleNotFoundError):
    """A package that is not installed, and that what was asked for needs."""


class DataWarning(UserWarning):
    """What was dropped, computed or assumed when data was read."""
