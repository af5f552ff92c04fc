"""The acoustic model: prompts of voices, symbols, similarity."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import valle
from conftest import ATTEST
from valle.audio.recording import resample
from valle.bundle.bundle import Bundle
from valle.synthesis import acoustic_model
from valle.synthesis.acoustic_model import AcousticModel, PendingUtterance, VoicePrompt
from valle.synthesis.utterance import Utterance
from valle.text.segmentation import split_sentences
from valle.voices import registry


def test_similarity_is_the_cosine_of_speaker_embeddings(
    model: valle.Model, voice: valle.Voice, babble: NDArray[np.float32]
) -> None:
    acoustic = model._pipeline.acoustic_model
    prompt = acoustic.prompt(voice)
    own = resample(voice.audio, voice.sample_rate, model.sample_rate)
    assert acoustic.similarity(prompt, own) == pytest.approx(1.0, abs=1e-5)
    assert acoustic.similarity(prompt, babble[: model.sample_rate]) < 1.0


def test_prompt_of_a_voice_given_by_name_is_computed_once(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(voice)
    acoustic = AcousticModel(model.bundle, model.codec)
    computed: list[valle.Voice] = []
    compute = acoustic._compute_prompt

    def count(voice: valle.Voice, *parts: Any) -> VoicePrompt:
        computed.append(voice)
        return compute(voice, *parts)

    monkeypatch.setattr(acoustic, "_compute_prompt", count)
    prompts = [acoustic.prompt(registry.load("Babble")) for _ in range(3)]
    assert prompts[0] is prompts[1] is prompts[2] is acoustic.prompt(voice)
    assert len(computed) == 1


def test_prompt_is_computed_again_for_another_transcript(
    model: valle.Model, voice: valle.Voice
) -> None:
    acoustic = model._pipeline.acoustic_model
    other = dataclasses.replace(voice, stress=tuple(1 for _ in voice.stress))
    assert acoustic.prompt(other) is not acoustic.prompt(voice)
    assert acoustic.prompt(dataclasses.replace(voice, name="Other")) is acoustic.prompt(voice)


def test_only_the_prompts_used_last_are_cached(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acoustic_model, "MAX_CACHED_PROMPTS", 2)
    acoustic = AcousticModel(model.bundle, model.codec)
    voices = [dataclasses.replace(voice, stress=(mark, *voice.stress[1:])) for mark in (0, 1, 2)]
    first, second, _ = (acoustic.prompt(one) for one in voices)
    assert acoustic.prompt(voices[1]) is second
    assert acoustic.prompt(voices[0]) is not first


def test_enrollment_stores_codes_and_embedding_even_if_the_prompt_is_cached(
    model: valle.Model, recording: Path
) -> None:
    voices = [model.enroll(recording, attest=ATTEST) for _ in range(2)]
    for voice in voices:
        assert sorted(key.split(".")[0] for key in voice.derived) == ["codes", "embedding"]


def test_symbols_are_numbered_by_the_bundle(model: valle.Model) -> None:
    config = model.bundle.config
    reversed_symbols = (config.symbols[0], *reversed(config.symbols[1:]))
    bundle = Bundle(model.bundle.folder, config.model_copy(update={"symbols": reversed_symbols}))
    acoustic = AcousticModel(bundle, model.codec)
    symbols = acoustic.encode_symbols(["^", "h", "not one"], [0, 1, 2])
    assert symbols.ids.tolist() == [reversed_symbols.index("^"), reversed_symbols.index("h"), 0]
    assert symbols.stress.tolist() == [0, 1, 2]
    assert symbols.borders.tolist() == [True, False, False]


def test_prepared_utterance_has_its_own_random_numbers(
    model: valle.Model, voice: valle.Voice
) -> None:
    acoustic = model._pipeline.acoustic_model
    prompt = acoustic.prompt(voice)
    (sentence,), _ = split_sentences("So be it.")
    utterance = acoustic.prepare(sentence, prompt)
    same = acoustic.generate_codes(utterance, prompt)
    np.testing.assert_array_equal(acoustic.generate_codes(utterance, prompt), same)
    for changed in (
        dataclasses.replace(utterance, seed=1),
        dataclasses.replace(utterance, index=1),
        dataclasses.replace(utterance, attempt=1),
    ):
        other = acoustic.generate_codes(changed, prompt)
        assert other.shape != same.shape or (other != same).any()


def test_what_was_generated_is_not_measured_again(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Oh no. So be it."
    options: dict[str, Any] = {"retries": 0, "seed": 77}
    expected = model.speak(text, voice, duration=2.0, **options)
    other = valle.Model(model.bundle)
    other.speak(text, voice, **options)
    unlimited = []
    acoustic = other._pipeline.acoustic_model
    start = acoustic.start

    def count(utterance: Utterance, prompt: VoicePrompt) -> PendingUtterance:
        unlimited.append(utterance.target_frames is None)
        return start(utterance, prompt)

    monkeypatch.setattr(acoustic, "start", count)
    assert np.array_equal(other.speak(text, voice, duration=2.0, **options).audio, expected.audio)
    assert unlimited == [False, False]
    other.speak(text, voice, duration=2.0, retries=0, seed=78)
    assert True in unlimited  # another seed takes other lengths


def test_what_was_measured_is_spoken_without_the_ar_model(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Oh no. So be it."
    options: dict[str, Any] = {"retries": 0, "seed": 79}
    expected = model.speak(text, voice, **options)
    other = valle.Model(model.bundle)
    length = other.measure(text, voice, **options)
    assert length.seconds == pytest.approx(expected.seconds)
    assert length.sentences == 2
    silence = expected.words[0].start, expected.seconds - expected.words[-1].end
    assert (length.lead, length.trail) == pytest.approx(silence)

    def refuse(*_: object) -> None:
        raise AssertionError("the AR model is run again")

    with monkeypatch.context() as patch:
        patch.setattr(other._pipeline.acoustic_model._ar, "generate", refuse)
        assert np.array_equal(other.speak(text, voice, **options).codes, expected.codes)
    # What was measured is kept for one use, so nothing is said from memory again and again.
    assert np.array_equal(other.speak(text, voice, **options).codes, expected.codes)
