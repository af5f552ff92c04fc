"""From an empty data folder to a voice: recorded in the page, with consent or on one's own word."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from consent.conftest import GOOD
from server.studio.conftest import EXAMPLES, Studio
from valle.consent import verification
from valle.voices import registry as voice_folder
from valle.voices.voice import Voice


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Accept every statement, which the debug bundle cannot verify; changes are single scores."""
    changes: dict[str, Any] = {}
    monkeypatch.setattr(verification, "score", lambda *_: dataclasses.replace(GOOD, **changes))
    return changes


def record(studio: Studio, label: str, seconds: int) -> None:
    """Record some seconds from the microphone, which plays the sample voice again and again."""
    studio.click(label)
    studio.page.locator(f".recorder:has(.recording) :text('0:0{seconds}')").wait_for()
    studio.click("Stop recording")


def begin(studio: Studio, name: str) -> None:
    studio.click("Make your voice", "link")
    studio.page.get_by_label("Whose voice is it?").fill(name)
    studio.click("Continue")


def test_a_voice_is_recorded_and_its_owner_agrees(
    open_studio: Callable[..., Studio], scores: dict[str, Any]
) -> None:
    studio = open_studio()
    begin(studio, "Grace")
    record(studio, "Record", 3)
    studio.see("of 100")
    studio.click("Show the text")
    studio.see("My name is Grace. I agree that")
    # The first try is refused, with the reason and what to do; the second is accepted.
    scores["words"] = dict.fromkeys(GOOD.words, -9.0)
    record(studio, "Record the text", 2)
    studio.see("Not accepted yet")
    studio.see("Of the words for today it lacks")
    studio.see("Read it word for word, with a short pause after each of the four words")
    studio.see("2 tries are left.")
    assert voice_folder.names() == []
    scores.clear()
    record(studio, "Record the text again", 2)
    studio.see("Grace is ready.")
    voice = voice_folder.load("Grace")
    assert voice.consent["kind"] == "consented"
    assert voice.consent["tries"] == 2
    studio.expect(studio.page.get_by_label("Voice")).to_have_value("Grace")


def test_a_dropped_recording_becomes_a_voice_on_ones_own_word(
    open_studio: Callable[..., Studio],
) -> None:
    studio = open_studio()
    begin(studio, "Ada")
    drop = studio.page.get_by_label("Drop a recording here, or choose one")
    studio.expected = ("400",)
    drop.set_input_files(EXAMPLES / "clip.srt")
    studio.see("This recording cannot be used")
    drop.set_input_files(EXAMPLES / "phone.m4a")
    studio.see("of 100")
    studio.page.get_by_text("The owner cannot read it now").click()
    studio.click("Make the voice on my word")
    studio.see("Tick the sentence above first")
    studio.page.get_by_label("I hold the rights to this voice").check()
    studio.click("Make the voice on my word")
    studio.see("Ada is ready.")
    assert voice_folder.load("Ada").consent["kind"] == "attested"
    studio.click("Voices", "link")
    studio.see("On your word")


def test_a_microphone_that_is_refused_is_explained(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio()
    studio.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia ="
        " async () => { throw new DOMException('no', 'NotAllowedError') } }"
    )
    begin(studio, "Ada")
    studio.click("Record")
    studio.see("The browser does not let this page use the microphone.")


def test_a_voice_is_heard_renamed_exported_revoked_and_deleted(studio: Studio) -> None:
    studio.go("voices")
    studio.click("Rename Babble")
    studio.page.get_by_label("New name").fill("Bubble")
    studio.click("Rename")
    studio.see("It is called Bubble now.")
    assert voice_folder.names() == ["Bubble"]
    exported = Voice.load(studio.download("Export Bubble"))
    assert (exported.name, exported.consent["kind"]) == ("Bubble", "attested")
    studio.click("Hear the recording of Bubble")
    audio = studio.page.locator("dialog audio")
    audio.wait_for()
    studio.page.wait_for_function("() => document.querySelector('dialog audio')?.duration > 1")
    studio.click("Close")
    studio.click("Where was it used: Bubble")
    studio.see("Nothing was spoken with it yet.")
    studio.click("Close")
    studio.click("Revoke the consent to Bubble")
    studio.click("Revoke for good")
    studio.see("The consent to Bubble is revoked.")
    studio.see("Revoked")
    studio.click("Delete Bubble")
    studio.click("Delete")
    studio.see("Make your first voice")
    assert voice_folder.names() == []
