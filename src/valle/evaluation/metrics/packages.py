"""Optional packages of the extra `eval`, imported when a metric is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from valle.errors import UsageError


def import_optional(module: str, package: str | None = None) -> Any:
    """Import a module of the extra `eval`.

    Args:
        module: dotted name of the module.
        package: what the package is called in the error message (default: the module's first name).

    Raises:
        UsageError: the module, or something that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(missing_package(package or module.split(".")[0], error)) from error


def missing_package(package: str, error: ImportError | None = None) -> str:
    """The error message for a package that cannot be imported, and how to install it."""
    cause = f" ({error})" if error is not None and error.name != package.lower() else ""
    return f"{package} cannot be loaded{cause}; install the extra: pip install 'valle[eval]'"
