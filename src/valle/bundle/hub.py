"""Bundles from the Hugging Face Hub, or from the folder where the user has put their files."""

from __future__ import annotations

import re
from pathlib import Path

from valle.errors import BundleError
from valle.files import data_folder

HUB_PREFIX = "hf://"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def fetch(source: str, marker: str) -> Path:
    """Return the folder that holds the files of a repository on the Hub, downloading if need be.

    A local folder that holds the file `marker` takes precedence; otherwise the package
    huggingface_hub downloads the repository into its own cache.

    Args:
        source: `hf://owner/name[@revision]`.
        marker: The name of a file that marks a complete local folder.

    Raises:
        BundleError: Neither works; the message names the folder to put the files into.
    """
    repository, _, revision = source[len(HUB_PREFIX) :].partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise BundleError(f"{source!r} is not of the form {HUB_PREFIX}owner/name")
    # Files that the user copies here serve a machine that cannot reach the Hub.
    local = data_folder().joinpath("bundles", *parts)
    if not revision and (local / marker).is_file():
        return local
    manual = f"or put {marker} and the .onnx files into {local} and try again"
    if revision:
        manual = "or download it elsewhere and give the path of the folder"
    try:
        import huggingface_hub
    except ImportError as error:
        raise BundleError(
            f"{source} needs the package huggingface_hub: pip install 'valle[hub]', {manual}"
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=["*.json", "*.onnx", "*.md"]
        )
    except Exception as error:  # which errors its HTTP library raises depends on its version
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(
            f"{source} could not be downloaded ({first_line}): check the name and the network, "
            f"{manual}"
        ) from error
    return Path(folder)
