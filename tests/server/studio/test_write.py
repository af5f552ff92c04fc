"""Writing and hearing in the page: sound while it is made, repaired by sentence, saved."""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import AsyncIterator

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
av = pytest.importorskip("av", reason="needs the extra [serve]")

from server.studio.conftest import Studio
from valle.server.speaking import RunningSpeech
from valle.server.studio import speech

TEXT = "One boat is late. Two boats are early."


def write(studio: Studio, text: str = TEXT) -> None:
    studio.page.get_by_label("What to say").last.fill(text)
    studio.page.keyboard.press("Control+Enter")
    studio.page.get_by_role("button", name="Download the sound as WAV").wait_for()


def read_wav(data: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def save_wav(studio: Studio) -> np.ndarray:
    return read_wav(studio.download("Download the sound as WAV").read_bytes())


def test_words_are_lit_while_the_speech_plays_and_nothing_is_missing(studio: Studio) -> None:
    page = studio.page
    page.evaluate(
        """() => {
            window.lit = new Set();
            new MutationObserver(changes => {
                for (const { target } of changes)
                    if (target.classList?.contains("spoken")) window.lit.add(target.textContent);
            }).observe(document.body, { subtree: true, attributes: true });
        }"""
    )
    write(studio)
    page.get_by_label("The speech").get_by_role("button", name="Play", exact=True).wait_for()
    words = page.locator(".word").all_inner_texts()
    assert words == re.findall(r"\w+", TEXT)
    assert set(page.evaluate("() => [...window.lit]")) <= set(words)
    assert page.evaluate("() => window.lit.size") >= 2
    # From a word on, by the keyboard.
    page.evaluate("() => window.lit.clear()")
    page.locator(".word").nth(4).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.lit.has('Two')")
    assert "One" not in page.evaluate("() => [...window.lit]")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    studio.see("How is “Two” said?")
    page.keyboard.press("Escape")
    drawn = page.evaluate(
        """() => {
            const canvas = document.querySelector(".picture canvas");
            const pen = canvas.getContext("2d");
            const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )
    assert drawn > 50


def test_every_download_is_what_was_heard(studio: Studio) -> None:
    write(studio)
    samples = save_wav(studio)
    for name in ("MP3", "FLAC", "OPUS"):
        file = studio.download(f"Download the sound as {name}")
        with av.open(str(file)) as container:
            frames = sum(frame.samples for frame in container.decode(audio=0))
            rate = container.streams.audio[0].rate
        assert abs(frames / rate - len(samples) / 16_000) < 0.1, name
    words = json.loads(studio.download("Download the words with their times as JSON").read_text())
    assert [word["word"] for word in words] == TEXT.split()
    assert words[-1]["end"] <= len(samples) / 16_000
    srt = studio.download("Download subtitles as SRT").read_text()
    assert srt.startswith("1\n00:00:0")
    assert "Two boats are early." in srt
    assert studio.download("Download subtitles as WebVTT").read_text().startswith("WEBVTT")


def test_one_sentence_is_said_again_and_the_others_stay(studio: Studio) -> None:
    write(studio)
    before = save_wav(studio)
    times = json.loads(studio.download("Download the words with their times as JSON").read_text())
    studio.click("Say sentence 2 in another way")
    studio.page.get_by_role("button", name=re.compile("sentence 2 said again")).wait_for()
    after = save_wav(studio)
    first = int(times[3]["end"] * 16_000)
    assert np.array_equal(before[:first], after[:first])
    assert not np.array_equal(before[first:], after[first:])
    # Other words in the second sentence leave the first one as it is, too.
    studio.click("Change the words of sentence 2")
    studio.page.get_by_label("Its words").fill("Two boats are lost.")
    studio.click("Speak it")
    studio.page.get_by_role("heading", name="One boat is late. Two boats are lost.").wait_for()
    studio.page.get_by_role("button", name="Download the sound as WAV").wait_for()
    assert np.array_equal(before[:first], save_wav(studio)[:first])


def test_versions_stand_side_by_side_and_history_survives_a_reload(studio: Studio) -> None:
    write(studio)
    first = save_wav(studio)
    studio.click("Another version")
    studio.page.get_by_role("button", name=": seed 1", exact=False).wait_for()
    second = save_wav(studio)
    assert not np.array_equal(first, second)
    studio.page.get_by_role("button", name=": seed 0", exact=False).click()
    studio.see("seed 0 ·")
    assert np.array_equal(save_wav(studio), first)
    other = studio.open()
    other.get_by_label("What to say").last.fill("Another tab has a text of its own.")
    studio.page.reload()
    studio.expect(studio.page.get_by_label("What to say").last).to_have_value(TEXT)
    history = studio.page.locator(".history li")
    studio.expect(history).to_have_count(2)
    history.first.get_by_role("button").nth(1).click()
    assert np.array_equal(save_wav(studio), second)


def test_a_word_is_said_differently_from_then_on(studio: Studio) -> None:
    write(studio, "Ask Nguyen about it.")
    before = save_wav(studio)
    studio.page.get_by_role("button", name="Nguyen", exact=True).click()
    studio.click("Say it differently")
    studio.page.get_by_label("Say it like").fill("banana bread")
    studio.click("Use it")
    studio.page.locator(".word.changed").get_by_text("Nguyen").wait_for()
    studio.page.get_by_role("button", name="Download the sound as WAV").wait_for()
    assert not np.array_equal(before, save_wav(studio))
    studio.click("Pronunciations")
    studio.see("is said like “banana bread”")
    studio.click("Forget Nguyen")
    studio.see("None yet.")


def test_what_was_spoken_before_the_connection_was_lost_is_kept(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events = speech._make_events

    async def break_off(running: RunningSpeech, rate: int) -> AsyncIterator[bytes]:
        async for event in make_events(running, rate):
            yield event
            if b'"sentences"' in event:
                raise OSError("the cable was pulled")

    monkeypatch.setattr(speech, "_make_events", break_off)
    studio.expected = ("ERR_",)
    write(studio, "One boat ☃ is late. Two boats are early.")
    studio.see("The connection was lost. What was spoken so far is kept")
    studio.see("stopped early")
    kept = save_wav(studio)
    studio.page.reload()
    studio.page.locator(".history li").first.get_by_role("button").nth(1).click()
    assert np.array_equal(save_wav(studio), kept)
    studio.see("stopped early")


def test_it_stops_at_once_and_errors_say_what_to_do(studio: Studio) -> None:
    page = studio.page
    # So long that it is not done before the button is pressed, however slow the browser is.
    text = " ".join(f"This is sentence {number} of a long text." for number in range(150))
    page.get_by_label("What to say").last.fill(text)
    studio.click("Speak")
    page.locator(".word").first.wait_for()
    studio.click("Stop")
    page.get_by_role("button", name="Speak", exact=True).wait_for()
    studio.see("stopped early")
    studio.expected = ("400", "ERR_")
    page.get_by_label("What to say").last.fill("Hello [pause:never].")
    studio.click("Speak")
    page.get_by_role("alert").get_by_text("pause").wait_for()
    studio.server.__exit__()
    page.get_by_label("What to say").last.fill("Hello.")
    studio.click("Speak")
    studio.see("The server does not answer.")
    assert page.get_by_label("What to say").last.input_value() == "Hello."
