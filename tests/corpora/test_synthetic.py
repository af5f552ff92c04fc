"""espeak-ng's phoneme times, and synthetic speech."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from signals import RATE, centroid, pitch_of
from valle.corpora import augmentation, synthetic, tts_engines
from valle.corpora.espeak_speech import (
    Espeak,
    EspeakEndedError,
    EspeakError,
    EspeakVoice,
    voice_file,
)
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.synthetic import (
    SynthesisPlan,
    SyntheticUtterance,
    spoken_text,
    synthesize_speaker,
    synthesize_utterances,
)
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.errors import UsageError
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS

ESPEAK = {"espeak": 1.0}
TEXTS = ["Sister Susan saw six ships.", "The park, at noon, was on fire.", "Come in!"]


@lru_cache(maxsize=1)
def clean_utterances() -> tuple[SyntheticUtterance, ...]:
    """TEXTS by one speaker with a clean channel."""
    seeds = (seed for seed in range(1000) if SyntheticSpeaker.sample(seed, ESPEAK).channel.clean)
    return tuple(synthesize_speaker(SyntheticSpeaker.sample(next(seeds), ESPEAK), TEXTS)[0])


# --- espeak-ng ---------------------------------------------------------------------------------

PLAIN = EspeakVoice("m3", (1.0,) * 9, (1.0,) * 9, 1.0, (1.0,) * 8, 50, 175)


def test_sounds_cover_audio_in_order() -> None:
    with Espeak() as espeak:
        samples, rate, sounds = espeak.speak("Hello there, the insurance is on fire.", PLAIN)
    assert 0.0 <= sounds[0].start < 0.05
    assert sounds[-1].end == pytest.approx(len(samples) / rate, abs=1e-6)
    for before, after in pairwise(sounds):
        assert before.start <= before.end == pytest.approx(after.start, abs=1e-9)
    sentence = split_sentences("Hello there, the insurance is on fire.")[0][0]
    expected = [p.symbol for p in sentence.phonemes if p.symbol not in BORDERS]
    assert [sound.symbol for sound in sounds if sound.symbol] == expected
    assert "" in [sound.symbol for sound in sounds]  # the comma's pause


def test_samples_are_independent_of_previous_requests() -> None:
    with Espeak() as espeak:
        first = espeak.speak("Same again.", PLAIN, seed=3)[0]
        espeak.speak("Something else, quite different!", PLAIN, seed=9)
        assert np.array_equal(espeak.speak("Same again.", PLAIN, seed=3)[0], first)


def test_a_process_that_was_killed_is_replaced() -> None:
    speaker = SyntheticSpeaker.sample(1, ESPEAK)
    (before,) = synthesize_speaker(speaker, TEXTS[:1])[0]
    process = synthetic._espeak()._process
    process.kill()
    process.wait()
    with pytest.raises(EspeakEndedError, match="memory"):
        synthetic._espeak().speak("So.", PLAIN)
    (after,) = synthesize_speaker(speaker, TEXTS[:1])[0]
    np.testing.assert_array_equal(after.samples, before.samples)


def test_voice_parameters_change_pitch_and_rate() -> None:
    high = EspeakVoice("m3", (1.0,) * 9, (1.0,) * 9, 1.4, (1.0,) * 8, 0, 175)
    low = EspeakVoice("m3", (1.0,) * 9, (1.0,) * 9, 1.0, (1.0,) * 8, 0, 175)
    slow = EspeakVoice("m3", (1.0,) * 9, (1.0,) * 9, 1.0, (1.0,) * 8, 0, 120)
    with Espeak() as espeak:
        text = "Aaaaah, a long long vowel, all alone."
        (one, rate, _), (two, _, _), (three, _, _) = (
            espeak.speak(text, voice) for voice in (low, high, slow)
        )
    assert len(three) > 1.25 * len(one)
    ratio = pitch_of(two[: rate // 2]) / pitch_of(one[: rate // 2])
    assert ratio == pytest.approx(1.4, rel=0.06)


def test_unknown_variant_is_rejected() -> None:
    voice = EspeakVoice("nobody", (1.0,) * 9, (1.0,) * 9, 1.0, (1.0,) * 8, 50, 175)
    with pytest.raises(EspeakError, match="nobody"):
        voice_file(voice)


# --- synthetic speech ----------------------------------------------------------------------------


def test_frame_symbols_match_the_audio() -> None:
    assert len(clean_utterances()) == len(TEXTS)
    fricatives, voiced, pauses = [], [], []
    for utterance in clean_utterances():
        assert utterance.frame_symbol is not None
        for frame, index in enumerate(utterance.frame_symbol):
            segment = utterance.samples[frame * 320 : (frame + 1) * 320]
            symbol = utterance.phonemes[index].symbol
            if symbol in ("s", "ʃ"):
                fricatives.append(centroid(segment))
            elif symbol in ("ɪ", "ɔː", "ʌ", "uː", "ɑː"):
                voiced.append((centroid(segment), float(np.sqrt(np.mean(segment**2)))))
            elif symbol in ".^!":
                pauses.append(float(np.sqrt(np.mean(segment**2))))
    assert np.mean(np.array(fricatives) > 2500) > 0.8
    assert np.mean(np.array([c for c, _ in voiced]) < 2000) > 0.9
    assert np.median([r for _, r in voiced]) > 10 * np.median(pauses)


def test_utterances_are_consistent() -> None:
    for utterance in clean_utterances():
        frames = utterance.frame_symbol
        assert frames is not None
        assert utterance.samples.dtype == np.float32
        assert len(utterance.samples) == 320 * len(frames)
        assert np.abs(utterance.samples).max() <= 1.0
        assert frames[0] == 0
        assert (np.diff(frames) >= 0).all()
        steps = np.diff(frames)
        for index, step in zip(frames[:-1], steps, strict=True):
            skipped = utterance.phonemes[index + 1 : index + step]
            assert step <= 2
            assert all(p.symbol in BORDERS for p in skipped)


def test_speakers_are_determined_by_seed() -> None:
    assert SyntheticSpeaker.sample(5) == SyntheticSpeaker.sample(5)
    speakers = [SyntheticSpeaker.sample(seed) for seed in range(60)]
    assert len({speaker.voice for speaker in speakers if speaker.engine == "espeak"}) > 30
    assert {speaker.engine for speaker in speakers} == {"espeak", "flite", "festival"}
    assert len({speaker.name for speaker in speakers}) == 60


def test_samples_are_independent_of_worker_count() -> None:
    speakers = [SyntheticSpeaker.sample(seed, ESPEAK) for seed in (1, 2)]
    one = list(synthesize_utterances(TEXTS, SynthesisPlan(speakers, 2, seed=4)))
    two = list(synthesize_utterances(TEXTS, SynthesisPlan(speakers, 2, seed=4), workers=2))
    other = list(synthesize_utterances(TEXTS, SynthesisPlan(speakers, 2, seed=5)))
    assert [u.text for u in one] == [u.text for u in two]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(one, two, strict=True))
    assert not all(
        a.text == b.text and np.array_equal(a.samples, b.samples)
        for a, b in zip(one, other, strict=False)
    )


def test_evaluation_sentences_are_excluded() -> None:
    reserved = next(filter(is_evaluation_sentence, (f"Number {i} is here." for i in range(999))))
    with pytest.raises(UsageError, match="no sentence to speak"):
        list(synthesize_utterances([reserved], SynthesisPlan(1, 1)))


def test_tally_counts_dropped_sentences() -> None:
    speaker = SyntheticSpeaker.sample(1, ESPEAK)
    texts = ["***", "[[həloʊ]] there", "Good morning to you."]
    utterances, tally = synthesize_speaker(speaker, texts)
    assert [u.text for u in utterances] == ["Good morning to you."]
    assert tally.kept == 1
    assert sum(tally.dropped.values()) == 2
    assert tally.share == pytest.approx(1 / 3)


def test_spoken_text_matches_phonemes() -> None:
    sentence = split_sentences("It cost 20 pounds - why?")[0][0]
    assert spoken_text(sentence) == "It cost twenty pounds, why?"


def test_missing_engine_is_skipped_with_warning(monkeypatch, caplog) -> None:
    tts_engines.explain_missing.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        assert list(synthetic.available_engines()) == ["espeak"]
        assert "apt-get install flite" in caplog.text
        speaker = next(s for s in map(SyntheticSpeaker.sample, range(999)) if s.engine == "flite")
        with pytest.raises(UsageError, match="flite"):
            list(synthesize_utterances(TEXTS, SynthesisPlan([speaker], 1)))
    finally:
        tts_engines.explain_missing.cache_clear()


@pytest.mark.parametrize("engine", ["flite", "festival"])
def test_other_engines_have_no_phoneme_times(engine: str) -> None:
    if reason := tts_engines.explain_missing(engine):
        pytest.skip(reason)
    utterances, tally = synthesize_speaker(SyntheticSpeaker.sample(3, {engine: 1.0}), TEXTS[:1])
    assert tally.kept == 1
    assert utterances[0].frame_symbol is None
    assert 1.0 < len(utterances[0].samples) / RATE < 5.0
    assert augmentation.active_level(utterances[0].samples) > 0.01
