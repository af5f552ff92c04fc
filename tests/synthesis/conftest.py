"""Models with styles, for the tests that train as well as speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from valle.bundle.bundle import Bundle
from valle.corpora.store import Store

if TYPE_CHECKING:
    from valle.training.export.bundle import Models

# Imported in the fixtures, since most tests of this folder need no PyTorch.


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from styled_models import write_two_speakers

    return write_two_speakers(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="package")
def models() -> Models:
    from styled_models import make_styled_models

    return make_styled_models()


@pytest.fixture(scope="package")
def bundle(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from styled_models import export_styled_bundle

    return export_styled_bundle(models, tmp_path_factory.mktemp("styled") / "bundle")
