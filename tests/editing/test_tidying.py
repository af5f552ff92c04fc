"""Filler words and long pauses: what is found, and that only silence is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from valle.cli.main import main
from valle.editing.changes import Change
from valle.editing.spans import Timeline
from valle.editing.tidying import find_fillers, shorten_pauses
from valle.runtime.transcript import TimedSentence, TimedTranscript
from valle.text.reading import make_reading
from valle.text.segmentation import split_sentences

SAMPLE = Path(__file__).parents[2] / "examples" / "voice.wav"
TEXT = "Um, the cat sat, uh, down. Well, it sat."
HOP = 320


def time_text(text: str, pause: int) -> TimedTranscript:
    """Return a transcript whose phonemes take 4 frames, and whose inner borders take `pause`."""
    position, sentences = 50, []
    for sentence in split_sentences(text)[0]:
        starts, counts = [], []
        for phoneme in sentence.phonemes:
            starts.append(position)
            is_comma = phoneme.symbol == ","
            counts.append(4 if phoneme.word >= 0 else pause if is_comma else 0)
            position += counts[-1]
        scores = np.ones(len(starts), np.float32)
        sentences.append(TimedSentence(sentence, np.array(starts), np.array(counts), scores))
    return TimedTranscript(text, sentences, 50.0, position / 50 + 1)


def make_sound(transcript: TimedTranscript) -> NDArray[np.float32]:
    """Return noise where words are, and silence between them."""
    rng = np.random.default_rng(0)
    sound = np.zeros(round(transcript.seconds * 16_000), np.float32)
    for word in transcript.words:
        assert word.start is not None
        assert word.end is not None
        part = slice(round(word.start * 16_000), round(word.end * 16_000))
        sound[part] = 0.1 * rng.standard_normal(len(sound[part]))
    return sound


def test_fillers_are_found_unless_another_change_has_them() -> None:
    transcript = time_text(TEXT, 10)
    assert find_fillers(transcript) == [Change(0, 1, ""), Change(4, 5, "")]
    assert find_fillers(transcript, [Change(3, 6, "lay down")]) == [Change(0, 1, "")]
    assert find_fillers(time_text("The cat sat.", 10)) == []


@example(pause=8, longest=0.109375)  # six frames are the shortest pause, so only two are too many
@given(pause=st.integers(0, 120), longest=st.floats(0.1, 2.0))
def test_pauses_are_cut_to_their_length_within_silence(pause: int, longest: float) -> None:
    transcript = time_text("The cat sat, it sat.", pause)
    timeline = Timeline(transcript)
    cuts = shorten_pauses(timeline, [], make_sound(transcript), 16_000, longest)
    excess = pause - max(round(longest * 50), 6)
    if excess < 3:
        assert not [cut for cut in cuts if cut.end - cut.start >= max(3, excess + 1)]
        return
    (cut,) = cuts
    ((_, (start, end)),) = timeline.find_gaps()
    assert start < cut.start < cut.end < end
    assert end - start - (cut.end - cut.start) == max(round(longest * 50), 6)
    assert cut.phonemes == []


def test_a_pause_that_is_not_silent_stays() -> None:
    transcript = time_text("The cat sat, it sat.", 100)
    sound = make_sound(transcript) + 0.05
    sound += 0.05 * np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
    assert shorten_pauses(Timeline(transcript), [], sound, 16_000, 0.3) == []


def test_the_pause_beside_a_removed_filler_is_shortened_with_it() -> None:
    transcript = time_text("The cat sat, uh, down here.", 100)
    timeline = Timeline(transcript)
    spans = timeline.find_spans(find_fillers(transcript), make_reading(False, None))
    (span,) = shorten_pauses(timeline, spans, make_sound(transcript), 16_000, 0.4)
    left = timeline.find_gaps()
    total = sum(end - start for _, (start, end) in left)
    word = 100 + 100 + 4 * 1  # both pauses and the filler's only phoneme
    assert total == 200
    assert word - (span.end - span.start) == 20


def test_a_talk_loses_its_pause_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    samples, rate = soundfile.read(SAMPLE, dtype="int16")
    text = "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    Path("talk.txt").write_text(text + "Shall we walk down to the river?", encoding="utf-8")
    power = np.square(samples[: len(samples) // HOP * HOP].astype(float)).reshape(-1, HOP).sum(1)
    near_end = slice(len(power) * 6 // 10, len(power) * 8 // 10)
    place = (
        near_end.start + int(np.argmin(np.convolve(power, np.ones(5), "same")[near_end]))
    ) * HOP
    paused = np.concatenate([samples[:place], np.zeros(2 * rate, np.int16), samples[place:]])
    soundfile.write("talk.wav", paused, rate)
    options = ["--text", "talk.txt", "--attest", "I hold the rights to this voice"]
    assert main(["edit", "talk.wav", *options, "--shorten-pauses", "0.5", "-o", "out.wav"]) == 0
    assert "a pause, 1." in capsys.readouterr().err
    result, _ = soundfile.read("out.wav", dtype="int16")
    removed = len(paused) - len(result)
    assert 1.3 * rate < removed < 2.0 * rate
    np.testing.assert_array_equal(result[: place - rate // 10], paused[: place - rate // 10])
    tail = len(samples) - place - rate // 2
    np.testing.assert_array_equal(result[-tail:], paused[-tail:])
    assert main(["edit", "talk.wav", *options, "--remove-fillers", "-o", "no.wav"]) == 4
    assert "none of the filler words" in capsys.readouterr().err
    assert not Path("no.wav").exists()
