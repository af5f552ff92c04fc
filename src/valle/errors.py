"""Errors that a user can act on; each carries the exit code that the command line ends with."""


class Error(Exception):
    """Base of all errors raised for bad input; the message says what is wrong and what to do."""

    exit_code = 1


class UsageError(Error):
    """Options that contradict each other or are out of range."""

    exit_code = 2


class RecordingError(Error):
    """A recording that cannot be used: missing, not audio, silent, too short, damaged."""

    exit_code = 3


class TextError(Error):
    """A text with nothing to speak in it."""

    exit_code = 4


class BundleError(Error):
    """A model bundle that is missing, altered, or in a format this version cannot read."""

    exit_code = 5


class ConsentError(Error):
    """A voice whose owner's consent has not been shown."""

    exit_code = 6


class OutputError(Error):
    """A result that cannot be written."""

    exit_code = 7


class ProvenanceError(Error):
    """A file whose origin cannot be verified."""

    exit_code = 8
