"""Model bundles from the Hugging Face hub, or from where the user has put their files."""

from __future__ import annotations

import re
from pathlib import Path

from valle.errors import BundleError
from valle.files import data_folder

HUB_PREFIX = "hf://"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def fetch(source: str, marker: str) -> Path:
    """The folder that holds the files of `source`, `hf://owner/name[@revision]`.

    A folder of the user's that holds the file `marker` comes first; else the repository is fetched
    through the package huggingface_hub, which keeps its own cache. Raises BundleError, with the
    folder to put the files into, when neither works.
    """
    repository, _, revision = source[len(HUB_PREFIX) :].partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise BundleError(f"{source!r} is not of the form {HUB_PREFIX}owner/name")
    # Files put here by hand serve a machine that cannot reach the hub.
    local = data_folder().joinpath("bundles", *parts)
    if not revision and (local / marker).is_file():
        return local
    by_hand = f"or put {marker} and the .onnx files into {local} and ask for it again"
    if revision:
        by_hand = "or download it elsewhere and give the path of the folder"
    try:
        import huggingface_hub
    except ImportError as error:
        raise BundleError(
            f"{source} needs the package huggingface_hub: pip install huggingface_hub, {by_hand}"
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=["*.json", "*.onnx", "*.md"]
        )
    except Exception as error:  # its HTTP library's errors are many, and change with its version
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(
            f"{source} could not be fetched ({first_line}): check the name and the network, "
            f"{by_hand}"
        ) from error
    return Path(folder)
