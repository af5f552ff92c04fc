"""Errors that a user can act on; each carries the exit code the command line ends with."""


class Error(Exception):
    """Base of all errors raised for bad input; the message says what was wrong and what to do."""

    exit_code = 1


class UsageError(Error):
    """Options that do not fit together or are out of range."""

    exit_code = 2


class RecordingError(Error):
    """A recording that cannot be used: missing, not audio, silent, too short, damaged."""

    exit_code = 3


class TextError(Error):
    """A text in which nothing can be said."""

    exit_code = 4


class BundleError(Error):
    """A model bundle that is missing, altered, or of a format this version cannot read."""

    exit_code = 5


class ConsentError(Error):
    """A voice whose owner's agreement has not been shown."""

    exit_code = 6


class OutputError(Error):
    """A result that cannot be written."""

    exit_code = 7


class ProvenanceError(Error):
    """A file of which it cannot be verified where it came from."""

    exit_code = 8
