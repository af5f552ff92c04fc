"""Synthesis from end to end with a tiny model: streams, seeds, lengths, refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import valle
from conftest import ATTEST, RATE
from synthesis_helpers import TEXT, WORDS, watermarked
from valle.runtime.codec_decoder import decode_unmarked
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS
from valle.voices import registry


@pytest.fixture(scope="module")
def speech(model: valle.Model, voice: valle.Voice) -> valle.Speech:
    return model.speak(TEXT, voice, retries=0, seed=3)


def test_speak_equals_the_joined_stream(
    model: valle.Model, voice: valle.Voice, speech: valle.Speech
) -> None:
    pieces = list(model.stream(TEXT, voice, seed=3))
    assert len(pieces) > 2
    np.testing.assert_array_equal(np.concatenate([p.audio for p in pieces]), speech.audio)
    np.testing.assert_array_equal(np.concatenate([p.codes for p in pieces]), speech.codes)
    assert [word for p in pieces for word in p.words] == speech.words
    assert all(len(p.audio) == len(p.codes) * model.codec.hop for p in pieces)
    assert sum(p.check is not None for p in pieces) == 2  # one for each sentence


def test_audio_is_decoded_from_the_codes_with_the_speaker_embedding(
    model: valle.Model, voice: valle.Voice, speech: valle.Speech
) -> None:
    assert speech.audio.dtype == np.float32
    assert speech.codes.dtype == np.int64
    assert speech.sample_rate == model.codec.sample_rate
    assert np.isfinite(speech.audio).all()
    decoded = decode_unmarked(model.codec, speech.codes, model.embedding(voice))
    expected = watermarked(voice, decoded, model.sample_rate)
    np.testing.assert_allclose(speech.audio, expected, atol=1e-5)
    assert np.abs(decoded - speech.audio).max() > 1e-3
    assert np.abs(decoded - decode_unmarked(model.codec, speech.codes)).max() > 1e-3  # it matters


def test_every_word_and_phoneme_is_spoken_in_order(speech: valle.Speech) -> None:
    assert [word.word for word in speech.words] == WORDS
    spoken = [p.symbol for p in speech.phonemes if p.symbol not in BORDERS]
    expected = [p.symbol for s in split_sentences(TEXT)[0] for p in s.phonemes]
    assert spoken == [symbol for symbol in expected if symbol not in BORDERS]
    for before, after in zip(speech.phonemes, speech.phonemes[1:], strict=False):
        assert before.start < before.end <= after.start
    assert speech.phonemes[-1].end <= speech.seconds + 1e-9
    for phoneme in speech.phonemes:
        assert 0 <= phoneme.text_start <= phoneme.text_end <= len(TEXT)
    house = next(p for p in speech.phonemes if p.symbol == "h")
    assert TEXT[house.text_start : house.text_end] == "house"


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    model: valle.Model, voice: valle.Voice, speech: valle.Speech, tmp_path: Path
) -> None:
    again, other = (model.speak(TEXT, voice, retries=0, seed=seed) for seed in (3, 4))
    for ending in ("wav", "flac", "mp3"):
        first_file, second_file = tmp_path / f"first.{ending}", tmp_path / f"second.{ending}"
        speech.save(first_file)
        again.save(second_file)
        assert first_file.read_bytes() == second_file.read_bytes()
    assert other.codes.shape != speech.codes.shape or (other.codes != speech.codes).any()


def test_sentence_rng_is_independent_of_previous_sentences(
    model: valle.Model, voice: valle.Voice
) -> None:
    endings = []
    for first_sentence in ("The house is green.", "A long word, and others too."):
        speech = model.speak(f"{first_sentence} Then it rains.", voice, retries=0)
        start = next(word for word in speech.words if word.word == "Then").start
        endings.append(speech.codes[round(start * model.frame_rate) :])
    np.testing.assert_array_equal(endings[0], endings[1])


def test_temperature_0_ignores_the_seed(model: valle.Model, voice: valle.Voice) -> None:
    codes = [model.speak("So be it.", voice, temperature=0, seed=seed).codes for seed in (1, 2)]
    np.testing.assert_array_equal(codes[0], codes[1])


@pytest.mark.parametrize("seconds", [2.0, 4.52, 8.0])
def test_target_duration_is_met(model: valle.Model, voice: valle.Voice, seconds: float) -> None:
    assert model.speak(TEXT, voice, retries=0, duration=seconds).seconds == pytest.approx(seconds)


def test_speed_scales_the_duration(model: valle.Model, voice: valle.Voice) -> None:
    slow, faster, usual = (  # this model takes few frames per phoneme by itself
        model.speak(TEXT, voice, retries=0, speed=speed).seconds for speed in (0.5, 0.75, 1.0)
    )
    assert slow / usual == pytest.approx(2.0, rel=0.03)
    assert faster / usual == pytest.approx(1 / 0.75, rel=0.03)


def test_text_in_parts_gives_the_same_speech_and_starts_early(
    model: valle.Model, voice: valle.Voice
) -> None:
    consumed: list[str] = []

    def parts() -> Iterator[str]:
        for part in ("The house is gr", "een. It co", "sts $123, ", "or does it?"):
            consumed.append(part)
            yield part

    stream = model.stream(parts(), voice, seed=3)
    first = next(stream)
    assert len(consumed) == 2  # the second sentence has begun, so the first one is complete
    joined = valle.Speech.join([first, *stream])
    whole = model.speak(TEXT, voice, retries=0, seed=3)
    # Blocks of the other codebooks end where the text has not come yet.
    np.testing.assert_array_equal(joined.codes[:, 0], whole.codes[:, 0])
    assert joined.phonemes == whole.phonemes


def test_unspeakable_text_is_reported(model: valle.Model, voice: valle.Voice) -> None:
    speech = model.speak("So be it. \U0001f980 Amen. \u4f60\u597d", voice, retries=0)
    assert [part.text for part in speech.skipped] == ["\U0001f980", "\u4f60\u597d"]
    assert [word.word for word in speech.words] == ["So", "be", "it", "Amen"]


def test_voice_is_found_by_value_by_name_and_by_file(
    model: valle.Model, voice: valle.Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(voice)
    monkeypatch.chdir(tmp_path)
    voice.save("file.voice")
    sources: list[valle.Voice | str | Path] = [
        voice,
        "Babble",
        "file.voice",
        Path("file.voice"),
        str(tmp_path / "file.voice"),
    ]
    audio = {model.speak("So be it.", source, retries=0).audio.tobytes() for source in sources}
    assert len(audio) == 1


@pytest.mark.parametrize("text", ["", "  \n ", "...!?", "\U0001f980\U0001f600", []])
def test_text_without_words_is_refused(
    model: valle.Model, voice: valle.Voice, text: str | list[str]
) -> None:
    with pytest.raises(valle.TextError):
        model.speak(text, voice)


def test_invalid_options_are_refused(model: valle.Model, voice: valle.Voice) -> None:
    refused: list[Callable[[], object]] = [
        lambda: model.stream("Hi.", voice, speed=2, duration=2),
        lambda: model.stream(["Hi."], voice, duration=2),
        lambda: model.stream("Hi.", voice, retries=-1),
        lambda: model.stream("Hi.", voice, sped=2),  # type: ignore[call-arg]
        lambda: model.stream("Hi.", "nobody"),
        lambda: list(model.stream("A rather long sentence, this one.", voice, duration=0.1)),
    ]
    for call in refused:  # all but the last before iterating
        with pytest.raises(valle.UsageError):
            call()


def test_unusable_bundles_are_refused(debug_bundle: Path, tmp_path: Path, recording: Path) -> None:
    with pytest.raises(valle.BundleError):
        valle.load(tmp_path / "none")
    altered = tmp_path / "altered"
    shutil.copytree(debug_bundle, altered)
    with (altered / "listener.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(valle.BundleError, match="listener.onnx"):
        valle.load(altered).enroll(recording, attest=ATTEST)


def test_gain_of_a_stream_is_known_before_and_depends_on_the_voice(
    model: valle.Model, voice: valle.Voice, babble: NDArray[np.float32]
) -> None:
    gain = model.stream_gain(voice)
    assert model.stream_gain(voice, loudness=-22.0) == pytest.approx(gain * 10 ** (-6 / 20))
    quieter = model.enroll((babble / 2, RATE), attest=ATTEST)
    assert model.stream_gain(quieter) == pytest.approx(2 * gain, rel=0.02)
