"""Checking a file in the page, with the built-in detector: a verdict that anybody understands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import valle
from server.studio.conftest import EXAMPLES, Studio


def check(studio: Studio, file: Path) -> None:
    studio.go("check")
    studio.page.get_by_label("Drop a recording here, or choose one").set_input_files(file)


def test_speech_of_valle_is_told_by_its_mark(
    studio: Studio, model: valle.Model, voice: valle.Voice, tmp_path: Path
) -> None:
    file = tmp_path / "made.wav"
    model.speak("Good evening to all of you. This was made by a machine.", voice=voice).save(file)
    check(studio, file)
    studio.see("Made ")
    studio.see("The mark in the sound")
    studio.see("It is in one stretch of the recording.")
    studio.see("Its own record")


def test_a_file_that_is_not_sound_is_refused_with_the_reason(studio: Studio) -> None:
    studio.expected = ("400",)
    check(studio, EXAMPLES / "clip.srt")
    studio.see("This file cannot be checked")


def test_a_recording_without_the_mark_gets_a_verdict_by_second(
    open_studio: Callable[..., Studio], stored_voice: str
) -> None:
    studio = open_studio()
    check(studio, EXAMPLES / "phone.m4a")
    studio.see("There is none, so valle did not make it")
    studio.see("Its own record")
