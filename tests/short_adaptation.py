"""Adaptation for tests: a few steps, however slow the machine is."""

from __future__ import annotations

from functools import partial

import pytest

from valle.cli import train_adapt
from valle.training.trainers.adaptation import AdaptationOptions


def limit_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `valle train adapt` stop after three short rounds."""
    options = partial(AdaptationOptions, max_rounds=3, round_steps=5, validation_examples=8)
    monkeypatch.setattr(train_adapt, "AdaptationOptions", options)
