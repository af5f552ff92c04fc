"""Editing a recording by its words in the page, from an empty data folder to the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import valle
from conftest import ATTEST
from server.studio.conftest import EXAMPLES, Studio
from valle.registry.keys import LOCAL_CALLER
from valle.server import align_job
from valle.voices import registry as voice_folder

SAMPLE = EXAMPLES / "voice.wav"
SAID = (
    "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    "Shall we walk down to the river?"
)
AND = 6  # index of its first word "and"


@pytest.fixture(scope="module")
def speaker(shared_home: Path) -> valle.Voice:
    """The voice of the sample by the default bundle: the tiny one understands no words."""
    model = valle.load(threads=1)
    return model.enroll(SAMPLE, name="Sample", attest=ATTEST)


@pytest.fixture
def studio(open_studio: Callable[..., Studio], home: Path, speaker: valle.Voice) -> Studio:
    voice_folder.add(speaker)
    studio = open_studio(bundle=None)
    studio.go("edit")
    return studio


def drop(studio: Studio, file: Path = SAMPLE, text: str = SAID) -> None:
    page = studio.page
    page.get_by_label("Drop a recording here, or choose one").set_input_files(file)
    page.get_by_label("What does it say?").fill(text)
    studio.click("Find the words")
    page.locator(".script .word").first.wait_for()


def words(studio: Studio) -> Any:
    return studio.page.locator(".script .word")


def make(studio: Studio) -> None:
    """Have the changes made at the least cost."""
    studio.page.get_by_text("More options").click()
    studio.page.get_by_label("Best of").fill("1")
    studio.click("Make the changes")


def read(file: Path) -> np.ndarray:
    return soundfile.read(file, dtype="int16")[0]


def test_words_are_replaced_while_the_page_is_closed(studio: Studio) -> None:
    page = studio.page
    drop(studio)
    # By the keyboard alone: "the garden", then "our kitchen".
    words(studio).nth(AND).click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("r")
    page.keyboard.type("the garden")
    page.keyboard.press("Enter")
    studio.see("These are the same words as before")
    page.keyboard.press("Control+a")
    page.keyboard.type("our kitchen")
    page.keyboard.press("Enter")
    studio.expect(page.locator(".script del")).to_have_text("the garden")
    studio.expect(page.locator(".script ins")).to_have_text("our kitchen")
    make(studio)
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    (job,) = [row for row in wait_for_jobs(studio, 2) if row.kind == "edit"]
    assert job.request["changes"] == [{"first": 7, "last": 9, "text": "our kitchen"}]
    page.close()
    studio.page = page = studio.open("#edit")
    page.locator(".project-link").click()
    before, after = read(SAMPLE), read(studio.download("Download WAV"))
    same = np.argmin(before[: len(after)] == after[: len(before)])
    assert 16_000 * 1.5 < same < 16_000 * 3  # "the garden" is said there
    assert np.array_equal(before[-8000:], after[-8000:])
    version = page.get_by_label("Version 1")
    studio.expect(version.locator(".mark-removed")).to_have_count(1)
    studio.expect(version.locator(".mark-added")).to_have_count(1)
    for which in ("before", "after"):
        studio.click(f"Hear change 1 {which}")
        page.wait_for_function(
            "which => [...document.querySelectorAll('.version audio')].some("
            "(one, at) => one.currentTime > 0.5 && at === (which === 'after') * 1)",
            arg=which,
        )


def wait_for_jobs(studio: Studio, count: int) -> list[Any]:
    jobs = studio.server.app.state.services.registry.jobs
    for _ in range(600):
        if len(rows := jobs.list(LOCAL_CALLER)) >= count:
            return list(rows)
        studio.page.wait_for_timeout(50)
    raise TimeoutError


def test_words_are_deleted_and_pauses_shortened_into_flac(studio: Studio) -> None:
    page = studio.page
    drop(studio)
    page.get_by_label("Find words").fill("and")
    studio.see("There are 2 places. This is number 1")
    page.get_by_label("Find words").press("Enter")
    studio.see("This is number 2")
    page.get_by_label("Find words").fill("castle")
    studio.see("“castle” is not in the text")
    page.get_by_label("Find words").fill("of mint")
    studio.click("Delete")
    studio.see("“of mint” is removed")
    page.get_by_label("File").select_option("flac")
    page.get_by_role("checkbox", name="Shorten pauses").check()
    page.get_by_role("slider", name="Shorten pauses").fill("0.2")
    studio.see("Pauses last 0.2 s at most")
    make(studio)
    file = studio.download("Download FLAC")
    assert soundfile.info(file).format == "FLAC"
    before, after = read(SAMPLE), read(file)
    assert len(before) - len(after) > 16_000 * 0.3
    start = 16_000 // 2
    assert np.array_equal(before[:start], after[:start])
    studio.expect(page.get_by_label("Version 1").locator(".mark-cut").first).to_be_attached()
    assert page.get_by_text("Say the new words in another way").count() == 0  # there are none


def test_what_was_not_heard_is_said_with_what_to_do(studio: Studio) -> None:
    page = studio.page
    studio.page.get_by_label("Drop a recording here, or choose one").set_input_files(SAMPLE)
    studio.click("Find the words")
    studio.see("Its words are missing")
    page.get_by_label("What does it say?").fill(SAID + " Extraordinary elephants juggle.")
    studio.click("Find the words")
    studio.see("not heard in the recording")
    last = words(studio).count() - 1
    words(studio).nth(last).click()
    studio.see("Correct the text to what is said there")
    studio.expect(page.get_by_role("button", name="Replace", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Correct the text").first.click()
    page.get_by_label("What does it say?").fill(SAID)
    studio.click("Find the words")
    page.locator(".script .word").first.wait_for()
    assert page.locator(".script .unheard").count() == 0


def test_another_voice_than_that_of_the_recording_is_refused(studio: Studio) -> None:
    model = valle.load(threads=1)
    flora = EXAMPLES / "voices" / "flora.ogg"
    voice_folder.add(model.enroll(flora, name="Flora", attest=ATTEST))
    page = studio.page
    drop(studio)
    words(studio).nth(AND).click()
    page.keyboard.press("Delete")
    page.get_by_label("Voice", exact=True).select_option("Flora")
    make(studio)
    studio.see("It could not be made")
    studio.see("the voice Flora is not the one in the recording")
    studio.click("Delete version 1")
    page.get_by_role("region", name="Version 1").wait_for(state="detached")
    studio.click("Delete it")
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    studio.see("Edit a recording")
    assert page.locator(".project-link").count() == 0


def test_words_are_recognized_where_the_server_can(
    open_studio: Callable[..., Studio],
    speaker: valle.Voice,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The recognizer itself, a large model of others, is not part of this."""
    asked: list[Path] = []

    def recognize(folder: Path, samples: np.ndarray, *_: Any) -> str:
        asked.append(folder)
        assert len(samples) > 16_000 * 6
        return SAID

    monkeypatch.setattr(align_job, "recognize_text", recognize)
    voice_folder.add(speaker)
    studio = open_studio(bundle=None, whisper=str(tmp_path))
    studio.go("edit")
    studio.page.get_by_label("Drop a recording here, or choose one").set_input_files(SAMPLE)
    studio.click("Recognize its words")
    words(studio).first.wait_for()
    assert asked == [tmp_path]
    assert (
        words(studio).all_inner_texts()
        == SAID.replace(".", "").replace(",", "").replace("?", "").split()
    )


def test_a_file_that_is_not_sound_fails_with_the_reason(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "talk.wav"
    file.write_bytes(b"RIFF, but nothing else")
    page = studio.page
    page.get_by_label("Drop a recording here, or choose one").set_input_files(file)
    page.get_by_label("What does it say?").fill("Hello there.")
    studio.click("Find the words")
    studio.see("The words could not be found")
    assert str(studio.server.app.state.services.options.objects) not in page.content()
