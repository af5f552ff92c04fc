"""Made speech and effects, against answers known beforehand."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from valle.corpora import augmentation, synthetic, tts_engines
from valle.corpora.espeak_speech import Espeak, EspeakFailed, EspeakVoice, Sound, voice_file
from valle.corpora.phoneme_times import frame_symbols
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.synthetic import MadeUtterance, make_speech, say, speakable
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.errors import UsageError
from valle.text.phonemes import Phoneme, to_sentences
from valle.text.symbols import BORDERS

RATE = 16_000
ESPEAK = {"espeak": 1.0}
TEXTS = ["Sister Susan saw six ships.", "The park, at noon, was on fire.", "Come in!"]


def hum(hertz: float, seconds: float = 1.0) -> NDArray[np.float32]:
    """A pulse train through two formants: a steady vowel of known pitch."""
    time = np.arange(int(RATE * seconds))
    pulses = (np.diff(np.floor(time * hertz / RATE), prepend=0.0) > 0).astype(float)
    for centre in (700.0, 1800.0):
        radius, angle = 0.97, 2 * np.pi * centre / RATE
        out = np.zeros_like(pulses)
        for i, value in enumerate(pulses):
            before = out[i - 1] if i else 0.0
            out[i] = value + 2 * radius * np.cos(angle) * before - radius**2 * out[i - 2] * (i > 1)
        pulses = out
    return (0.3 * pulses / np.abs(pulses).max()).astype(np.float32)


def pitch_of(samples: NDArray[np.float32]) -> float:
    """Hertz of the middle 0.4 s, by autocorrelation with parabolic refinement."""
    middle = len(samples) // 2
    piece = samples[middle - RATE // 5 : middle + RATE // 5].astype(float)
    power = np.abs(np.fft.rfft(piece - piece.mean(), 2 * len(piece))) ** 2
    correlation = np.fft.irfft(power)[: RATE // 60]
    lag = RATE // 500 + int(np.argmax(correlation[RATE // 500 :]))
    left, peak, right = correlation[lag - 1 : lag + 2] if lag + 2 <= len(correlation) else (0, 1, 0)
    return float(RATE / (lag + 0.5 * (left - right) / (left - 2 * peak + right)))


def centroid(samples: NDArray[np.float32]) -> float:
    """Mean frequency of the power spectrum, hertz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(samples), 1 / RATE)) / np.sum(power))


@lru_cache(maxsize=1)
def spoken() -> tuple[MadeUtterance, ...]:
    """One speaker, heard clean, saying TEXTS."""
    seeds = (seed for seed in range(1000) if MadeSpeaker.draw(seed, ESPEAK).channel.clean)
    return tuple(say(MadeSpeaker.draw(next(seeds), ESPEAK), TEXTS)[0])


# --- effects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.7, 0.9, 1.2, 1.5])
def test_pitch_moves_by_the_ratio_and_nothing_else_does(ratio: float) -> None:
    voice = hum(120.0)
    moved = augmentation.shift_pitch(voice, ratio)
    assert moved.shape == voice.shape and moved.dtype == np.float32
    assert pitch_of(moved) == pytest.approx(120.0 * ratio, rel=0.02)
    assert centroid(moved) == pytest.approx(centroid(voice), rel=0.12)


@pytest.mark.parametrize("ratio", [0.85, 1.15])
def test_formants_move_by_the_ratio_and_pitch_stays(ratio: float) -> None:
    voice = hum(120.0)
    moved = augmentation.shift_formants(voice, ratio)
    assert moved.shape == voice.shape
    assert pitch_of(moved) == pytest.approx(120.0, rel=0.01)
    assert centroid(moved) == pytest.approx(centroid(voice) * ratio, rel=0.06)


@pytest.mark.parametrize("factor", [0.6, 0.85, 1.3, 2.0])
def test_tempo_divides_times_and_keeps_pitch(factor: float) -> None:
    voice = np.concatenate([hum(110.0, 1.0), np.zeros(RATE // 2, np.float32), hum(110.0, 0.5)])
    moved = augmentation.tempo(voice, factor)
    assert len(moved) == round(len(voice) / factor)
    assert pitch_of(moved[: int(RATE / factor)]) == pytest.approx(110.0, rel=0.01)
    # 20 ms: longer than a period; the hum itself begins with a silent one
    silent = 320 + np.flatnonzero(
        np.convolve(np.abs(moved), np.ones(320), "valid")[320:-320] < 1e-3
    )
    assert silent[0] / RATE == pytest.approx(1.0 / factor, abs=0.03)
    assert (silent[-1] + 320) / RATE == pytest.approx(1.5 / factor, abs=0.03)


def test_pitch_shift_keeps_moments_in_place() -> None:
    voice = np.concatenate([hum(130.0, 0.6), np.zeros(RATE // 4, np.float32), hum(130.0, 0.6)])
    for ratio in (0.75, 1.4):
        moved = augmentation.shift_pitch(voice, ratio)
        quiet = np.convolve(moved.astype(float) ** 2, np.ones(320) / 320, "same") < 1e-6
        middle = np.flatnonzero(quiet).mean() / RATE
        assert middle == pytest.approx(0.725, abs=0.015)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(0, 3000), seed=st.integers(0, 99), ratio=st.floats(0.6, 1.6))
def test_effects_keep_length_and_stay_finite(size: int, seed: int, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal(size) * 0.1).astype(np.float32)
    before = samples.copy()
    impulse = augmentation.room_impulse(rng, 0.3, 6.0)
    results = [
        augmentation.shift_pitch(samples, ratio),
        augmentation.shift_formants(samples, ratio),
        augmentation.tilt(samples, 3.0),
        augmentation.band_limit(samples, 300.0, 3400.0),
        augmentation.room(samples, impulse),
        augmentation.level(samples, -20.0),
        *(augmentation.noise(kind, samples, rng) for kind in augmentation.NOISES),
    ]
    for result in results:
        assert result.shape == samples.shape
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
    assert np.array_equal(samples, before)


def test_a_whole_transform_and_back_changes_nothing() -> None:
    voice = hum(100.0)
    assert (
        np.abs(augmentation._inverse(augmentation._transform(voice), len(voice)) - voice).max()
        < 1e-5
    )


def test_noise_is_mixed_at_the_asked_ratio() -> None:
    voice = np.concatenate([hum(120.0), np.zeros(RATE, np.float32)])
    rng = np.random.default_rng(0)
    mixed = augmentation.add_noise(voice, augmentation.noise("white", voice, rng), 20.0)
    speech, rest = (
        augmentation.active_level(voice),
        float(np.sqrt(np.mean(mixed[RATE + 400 :] ** 2))),
    )
    assert 20 * np.log10(speech / rest) == pytest.approx(20.0, abs=0.3)


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    pink = augmentation.noise("pink", np.zeros(RATE * 4, np.float32), np.random.default_rng(0))
    power = np.abs(np.fft.rfft(pink)) ** 2
    frequency = np.fft.rfftfreq(len(pink), 1 / RATE)
    bands = [power[(frequency >= low) & (frequency < 2 * low)].mean() for low in (250, 500, 1000)]
    steps = 10 * np.log10(np.array(bands[:-1]) / np.array(bands[1:]))
    assert steps == pytest.approx([3.0, 3.0], abs=0.5)


def test_band_limit_takes_what_is_outside_and_delays_nothing() -> None:
    click = np.zeros(RATE, np.float32)
    click[8000] = 1.0
    passed = augmentation.band_limit(click, 300.0, 3400.0)
    assert int(np.argmax(np.abs(passed))) == 8000
    gain = np.abs(np.fft.rfft(passed))
    assert gain[1000] == pytest.approx(1.0, abs=0.01)
    assert gain[100] < 0.05 and gain[6000] < 0.05


def test_a_room_rings_as_long_as_asked() -> None:
    impulse = augmentation.room_impulse(np.random.default_rng(1), 0.5, 5.0)
    assert impulse[0] == 1.0
    assert 10 * np.log10(1.0 / np.sum(impulse[1:] ** 2)) == pytest.approx(5.0, abs=0.01)
    left = np.cumsum(impulse[::-1] ** 2)[::-1]  # the energy still to come
    decay = 10 * np.log10(left / left[1])
    slope = (np.flatnonzero(decay < -25)[0] - np.flatnonzero(decay < -5)[0]) / RATE
    assert 3 * slope == pytest.approx(0.5, rel=0.25)


def test_level_is_reached_but_never_clips() -> None:
    voice = hum(120.0)
    quiet = augmentation.level(voice, -30.0)
    assert 20 * np.log10(augmentation.active_level(quiet)) == pytest.approx(-30.0, abs=0.1)
    assert np.abs(augmentation.level(voice, 0.0)).max() <= 0.9901


@pytest.mark.parametrize(
    "call",
    [
        lambda x: augmentation.tempo(x, 9.0),
        lambda x: augmentation.shift_pitch(x, 0.1),
        lambda x: augmentation.shift_formants(x, 3.0),
        lambda x: augmentation.band_limit(x, 4000.0, 300.0),
        lambda x: augmentation.noise("brown", x, np.random.default_rng(0)),
    ],
)
def test_out_of_range_is_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        call(np.zeros(1000, np.float32))


# --- phonemes to frames ------------------------------------------------------------------------


def phonemes_of(symbols: str) -> list[Phoneme]:
    """Symbols apart by "|", as a sentence has them."""
    return [Phoneme(s, 0, 0, 0, -1 if s in BORDERS else 0) for s in symbols.split("|")]


def sounds_of(*parts: tuple[str, float]) -> list[Sound]:
    """(symbol, seconds it lasts) one after another."""
    ends = np.cumsum([seconds for _, seconds in parts])
    return [
        Sound(symbol, float(end) - seconds, float(end))
        for (symbol, seconds), end in zip(parts, ends, strict=True)
    ]


def test_frames_follow_the_times() -> None:
    phonemes = phonemes_of("^|h|aɪ| |t|uː|,|j|uː|.")
    sounds = sounds_of(
        ("h", 0.1), ("aɪ", 0.2), ("t", 0.06), ("uː", 0.1), ("", 0.3), ("j", 0.08), ("uː", 0.2)
    )
    got = frame_symbols(phonemes, sounds, 62, lead=0.1)
    assert got is not None
    assert np.bincount(got, minlength=10).tolist() == [5, 5, 10, 0, 3, 5, 15, 4, 10, 5]
    twice = frame_symbols(phonemes, sounds, 36, lead=0.1, tempo=2.0)
    assert twice is not None and np.bincount(twice, minlength=10)[6] in (7, 8)


def test_every_phoneme_gets_a_frame_however_short() -> None:
    phonemes = phonemes_of("^|s|t|ɹ|ɪ|p|s|.")
    sounds = sounds_of(*[(symbol, 0.001) for symbol in ("s", "t", "ɹ", "ɪ", "p", "s")])
    got = frame_symbols(phonemes, sounds, 10, lead=0.02)
    assert got is not None and set(range(7)) <= set(got.tolist())
    assert frame_symbols(phonemes, sounds, 7, lead=0.02) is not None
    assert frame_symbols(phonemes, sounds, 6, lead=0.02) is None


def test_small_differences_are_bridged_and_large_ones_are_not() -> None:
    symbols = "^|" + "|".join("hɛləs" * 5) + "|."
    phonemes = phonemes_of(symbols)
    heard = [(symbol, 0.1) for symbol in "hɛləs" * 5]
    reduced = [*heard[:1], ("ɪ", 0.1), *heard[2:]]
    exact = frame_symbols(phonemes, sounds_of(*heard), 135, lead=0.1)
    assert exact is not None
    bridged = frame_symbols(phonemes, sounds_of(*reduced), 135, lead=0.1)
    assert np.array_equal(bridged, exact)
    longer = frame_symbols(phonemes, sounds_of(*heard[:3], ("p", 0.1), *heard[3:]), 140, lead=0.1)
    assert longer is not None and np.bincount(longer)[3] == 10  # the stray sound prolongs "l"
    assert frame_symbols(phonemes, sounds_of(*heard[1:]), 135, lead=0.1) is None  # one not said
    other = [("z", 0.1)] * 3
    assert frame_symbols(phonemes, sounds_of(*other, *heard[3:]), 135, lead=0.1) is None


def test_a_pause_needs_a_border_and_a_stay_has_its_limit() -> None:
    inside = sounds_of(("h", 0.1), ("", 0.3), ("aɪ", 0.2))
    assert frame_symbols(phonemes_of("^|h|aɪ|."), inside, 40) is None
    assert frame_symbols(phonemes_of("^|h| |aɪ|."), inside, 40) is not None
    endless = sounds_of(("h", 0.1), ("aɪ", 1.2))
    assert frame_symbols(phonemes_of("^|h|aɪ|."), endless, 80) is None


# --- espeak-ng ---------------------------------------------------------------------------------

PLAIN = EspeakVoice("m3", (1.0,) * 9, (1.0,) * 9, 1.0, (1.0,) * 8, 50, 175)


def test_sounds_fill_the_audio_in_order() -> None:
    with Espeak() as espeak:
        samples, rate, sounds = espeak.speak("Hello there, the insurance is on fire.", PLAIN)
    assert 0.0 <= sounds[0].start < 0.05
    assert sounds[-1].end == pytest.approx(len(samples) / rate, abs=1e-6)
    for before, after in pairwise(sounds):
        assert before.start <= before.end == pytest.approx(after.start, abs=1e-9)
    sentence = to_sentences("Hello there, the insurance is on fire.")[0][0]
    wanted = [p.symbol for p in sentence.phonemes if p.symbol not in BORDERS]
    assert [sound.symbol for sound in sounds if sound.symbol] == wanted
    assert "" in [sound.symbol for sound in sounds]  # the comma's pause


def test_the_same_request_gives_the_same_samples_whatever_came_before() -> None:
    with Espeak() as espeak:
        first = espeak.speak("Same again.", PLAIN, seed=3)[0]
        espeak.speak("Something else, quite different!", PLAIN, seed=9)
        assert np.array_equal(espeak.speak("Same again.", PLAIN, seed=3)[0], first)


def test_a_voice_changes_what_it_says_it_changes() -> None:
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


def test_an_unknown_variant_is_refused() -> None:
    voice = EspeakVoice("nobody", (1.0,) * 9, (1.0,) * 9, 1.0, (1.0,) * 8, 50, 175)
    with pytest.raises(EspeakFailed, match="nobody"):
        voice_file(voice)


# --- made speech -------------------------------------------------------------------------------


def test_frames_are_where_the_sounds_are() -> None:
    assert len(spoken()) == len(TEXTS)
    hiss, voiced, pause = [], [], []
    for utterance in spoken():
        assert utterance.frame_symbol is not None
        for frame, index in enumerate(utterance.frame_symbol):
            piece = utterance.samples[frame * 320 : (frame + 1) * 320]
            symbol = utterance.phonemes[index].symbol
            if symbol in ("s", "ʃ"):
                hiss.append(centroid(piece))
            elif symbol in ("ɪ", "ɔː", "ʌ", "uː", "ɑː"):
                voiced.append((centroid(piece), float(np.sqrt(np.mean(piece**2)))))
            elif symbol in ".^!":
                pause.append(float(np.sqrt(np.mean(piece**2))))
    assert np.mean(np.array(hiss) > 2500) > 0.8
    assert np.mean(np.array([c for c, _ in voiced]) < 2000) > 0.9
    assert np.median([r for _, r in voiced]) > 10 * np.median(pause)


def test_an_utterance_holds_together() -> None:
    for utterance in spoken():
        frames = utterance.frame_symbol
        assert frames is not None
        assert utterance.samples.dtype == np.float32
        assert len(utterance.samples) == 320 * len(frames)
        assert np.abs(utterance.samples).max() <= 1.0
        assert frames[0] == 0 and (np.diff(frames) >= 0).all()
        steps = np.diff(frames)
        for index, step in zip(frames[:-1], steps, strict=True):
            skipped = utterance.phonemes[index + 1 : index + step]
            assert step <= 2 and all(p.symbol in BORDERS for p in skipped)


def test_speakers_are_their_seed() -> None:
    assert MadeSpeaker.draw(5) == MadeSpeaker.draw(5)
    speakers = [MadeSpeaker.draw(seed) for seed in range(60)]
    assert len({speaker.voice for speaker in speakers if speaker.engine == "espeak"}) > 30
    assert {speaker.engine for speaker in speakers} == {"espeak", "flite", "festival"}
    assert len({speaker.name for speaker in speakers}) == 60


def test_the_same_seed_gives_the_same_samples_on_any_number_of_processes() -> None:
    speakers = [MadeSpeaker.draw(seed, ESPEAK) for seed in (1, 2)]
    one = list(make_speech(TEXTS, speakers, 2, seed=4))
    two = list(make_speech(TEXTS, speakers, 2, seed=4, workers=2))
    other = list(make_speech(TEXTS, speakers, 2, seed=5))
    assert [u.text for u in one] == [u.text for u in two]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(one, two, strict=True))
    assert not all(
        a.text == b.text and np.array_equal(a.samples, b.samples)
        for a, b in zip(one, other, strict=False)
    )


def test_evaluation_sentences_are_not_said() -> None:
    kept_back = next(filter(is_evaluation_sentence, (f"Number {i} is here." for i in range(999))))
    with pytest.raises(UsageError, match="no sentences"):
        list(make_speech([kept_back], 1, 1))


def test_the_tally_counts_what_was_dropped() -> None:
    speaker = MadeSpeaker.draw(1, ESPEAK)
    texts = ["***", "[[həloʊ]] there", "Good morning to you."]
    utterances, tally = say(speaker, texts)
    assert [u.text for u in utterances] == ["Good morning to you."]
    assert tally.kept == 1 and sum(tally.dropped.values()) == 2
    assert tally.share == pytest.approx(1 / 3)


def test_what_is_said_is_what_the_phonemes_say() -> None:
    sentence = to_sentences("It cost 20 pounds - why?")[0][0]
    assert speakable(sentence) == "It cost twenty pounds, why?"


def test_an_absent_program_is_skipped_with_its_name(monkeypatch, caplog) -> None:  # type: ignore[no-untyped-def]
    tts_engines.missing.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        assert list(synthetic.available_engines()) == ["espeak"]
        assert "apt-get install flite" in caplog.text
        speaker = next(s for s in map(MadeSpeaker.draw, range(999)) if s.engine == "flite")
        with pytest.raises(UsageError, match="flite"):
            list(make_speech(TEXTS, [speaker], 1))
    finally:
        tts_engines.missing.cache_clear()


@pytest.mark.parametrize("engine", ["flite", "festival"])
def test_other_engines_speak_without_times(engine: str) -> None:
    if why := tts_engines.missing(engine):
        pytest.skip(why)
    utterances, tally = say(MadeSpeaker.draw(3, {engine: 1.0}), TEXTS[:1])
    assert tally.kept == 1
    assert utterances[0].frame_symbol is None
    assert 1.0 < len(utterances[0].samples) / RATE < 5.0
    assert augmentation.active_level(utterances[0].samples) > 0.01
