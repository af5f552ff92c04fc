"""Speech in a style: the same sentences, with their times; none at strength 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import valle
from valle.audio.loudness import measure_loudness
from valle.errors import RecordingError
from valle.styles import Style
from valle.synthesis.imitation import measure_style
from valle.synthesis.speech import Speech
from valle.watermark.detect import detect_watermark

SAMPLE = Path(__file__).parents[2] / "examples" / "voice.wav"
TEXT = "So be it. Go on."


def speak(model: valle.Model, voice: valle.Voice, **options: object) -> Speech:
    return model.speak(TEXT, voice, retries=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("emotion", ["happy", "sad", "whisper"])
def test_strength_0_is_plain_speech_bit_for_bit(
    model: valle.Model, voice: valle.Voice, emotion: str
) -> None:
    plain = speak(model, voice)
    none = speak(model, voice, style={"emotion": emotion, "strength": 0.0})
    np.testing.assert_array_equal(none.audio, plain.audio)
    assert none.words == plain.words
    some = speak(model, voice, style=f"{emotion} 0.1")
    assert len(some.audio) != len(plain.audio) or (some.audio != plain.audio).any()


def test_the_rate_moves_words_and_codes_with_the_sound(
    model: valle.Model, voice: valle.Voice
) -> None:
    plain, slow = speak(model, voice), speak(model, voice, style=Style(rate=0.5))
    assert len(slow.audio) == len(slow.codes) * model.codec.hop
    for before, after in zip(plain.sentences, slow.sentences, strict=True):
        assert after.end - after.start == pytest.approx(2 * (before.end - before.start), abs=0.05)
        assert after.text == before.text
    assert [word.word for word in slow.words] == [word.word for word in plain.words]
    assert [c.missing for c in (s.check for s in slow.sentences)] == [
        c.missing for c in (s.check for s in plain.sentences)
    ]


def test_a_given_duration_is_kept(model: valle.Model, voice: valle.Voice) -> None:
    lengths = [speak(model, voice, style=style, duration=6.0).seconds for style in ("sad", None)]
    assert lengths == [6.0, 6.0]


def test_pieces_of_a_stream_are_the_speech(model: valle.Model, voice: valle.Voice) -> None:
    options = {"style": "angry", "seed": 3}
    whole = speak(model, voice, **options)
    pieces = list(model.stream(TEXT, voice, retries=0, **options))  # type: ignore[arg-type]
    assert len(pieces) > 1
    joined = Speech.join(pieces)
    np.testing.assert_array_equal(joined.audio, whole.audio)
    np.testing.assert_array_equal(joined.codes, whole.codes)
    assert joined.phonemes == whole.phonemes
    in_parts = Speech.join(
        model.stream(iter(["So be it. ", "Go on."]), voice, style="angry", seed=3)
    )
    np.testing.assert_array_equal(in_parts.audio, whole.audio)


def test_candidates_are_chosen_as_without_a_style(model: valle.Model, voice: valle.Voice) -> None:
    # Candidates of this seed are far apart: the check hears the watermark, whose key is random.
    plain = speak(model, voice, best_of=3, seed=5)
    louder = speak(model, voice, best_of=3, style="energy=3", seed=5)
    np.testing.assert_array_equal(louder.codes, plain.codes)


def test_a_file_is_as_much_louder_as_its_style_says(model: valle.Model, voice: valle.Voice) -> None:
    plain, soft = (speak(model, voice, style=style) for style in (None, "energy=-6"))
    levels = [measure_loudness(*speech.render(loudness=-30.0)) for speech in (plain, soft)]
    assert levels == pytest.approx([-30.0, -36.0], abs=0.1)


def test_styled_speech_carries_the_watermark() -> None:
    model = valle.load(threads=1)
    voice = model.enroll(SAMPLE, attest="I hold the rights to this voice")
    text = "The rain has stopped, and the garden smells of mint. Shall we walk down to the river?"
    for style in ("sad", "whisper"):
        speech = model.speak(text, voice, style=style, retries=0)
        assert detect_watermark(speech.audio, speech.sample_rate).found


def test_the_style_of_a_recording_is_relative_to_the_voice(
    model: valle.Model, voice: valle.Voice, babble: NDArray[np.float32]
) -> None:
    assert measure_style(model, (voice.audio, voice.sample_rate), voice).resolve() is None
    with pytest.raises(RecordingError, match="too little speech"):
        measure_style(model, babble[:2000], voice)
