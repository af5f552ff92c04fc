"""Verification of recorded consent: known answers of each score, and all with the default model."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from valle.audio.fingerprint import (
    compute_fingerprint,
    fingerprint_at_speeds,
    max_similarity,
    similarity,
)
from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.config import CONFIG_NAME
from valle.consent import challenge, splicing, verification
from valle.consent.challenge import Statement
from valle.consent.splicing import measure_background_jumps, measure_speaker_consistency
from valle.consent.text_verification import (
    MIN_SCORE,
    best_path,
    best_path_scores,
    score_margin,
    score_text,
)
from valle.consent.verification import Scores
from valle.corpora.synthetic import synthesize_speaker
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.text.segmentation import split_sentences
from valle.text.symbols import BLANK, BORDERS, LISTENER_SYMBOLS

RATE = 16_000
VOICE = Path(__file__).parents[2] / "examples" / "voice.wav"

Samples = NDArray[np.float32]

# --- text verification ---------------------------------------------------------------------------


def ideal_log_probs(text: str, confidence: float = 0.9) -> NDArray[np.float32]:
    """CTC log-probabilities [frames, classes] of a recognizer that recognizes exactly this text."""
    symbols = [p.symbol for s in split_sentences(text)[0] for p in s.phonemes]
    classes: list[str] = [BLANK]
    for symbol in symbols:
        classes += [symbol, BLANK, BLANK] if symbol not in BORDERS else [BLANK]
    count = len(LISTENER_SYMBOLS)
    probabilities = np.full((len(classes), count), (1 - confidence) / (count - 1))
    probabilities[np.arange(len(classes)), [LISTENER_SYMBOLS.index(c) for c in classes]] = (
        confidence
    )
    return np.log(probabilities).astype(np.float32)


def test_spoken_text_has_the_best_score() -> None:
    text = "The red house is green, and my words are anchor, violin."
    score = score_text(ideal_log_probs(text), LISTENER_SYMBOLS, text)
    assert score.whole == 0.0
    assert set(score.words.values()) == {0.0}
    counts = {text[start:end]: count for (start, end), count in score.phoneme_counts.items()}
    assert counts["house"] == 3
    longer = f"Well, I begin. {text} Shall I go on?"
    assert score_text(ideal_log_probs(longer), LISTENER_SYMBOLS, text).whole == 0.0


def word_scores(spoken_text: str, text: str) -> dict[str, float]:
    """Return the score of each word of `text` in an ideal recording of `spoken_text`."""
    score = score_text(ideal_log_probs(spoken_text), LISTENER_SYMBOLS, text)
    return {text[start:end]: value for (start, end), value in score.words.items()}


def test_only_the_missing_word_has_a_low_score() -> None:
    spoken_text, text = (f"My words are anchor, {w}, garden, pillow." for w in ("zebra", "music"))
    words = word_scores(spoken_text, text)
    assert words["music"] < -5.0
    assert words["My"] == words["words"] == words["pillow"] == 0.0
    assert word_scores("My words are anchor, garden, pillow.", text)["music"] < -4.0


def test_inserted_word_lowers_the_scores_of_its_neighbors() -> None:
    words = word_scores("My words are anchor, zebra, garden.", "My words are anchor, garden.")
    assert words["anchor"] < -2.0
    assert words["garden"] < -2.0
    assert words["My"] == 0.0


def test_text_that_does_not_fit_has_the_worst_score() -> None:
    text = "The red house is green."
    score = score_text(ideal_log_probs("No."), LISTENER_SYMBOLS, text)
    assert score.whole == MIN_SCORE
    assert set(score.words.values()) == {MIN_SCORE}
    assert score_text(ideal_log_probs("No.")[:0], LISTENER_SYMBOLS, text).whole == MIN_SCORE


def test_uncertain_recognizer_has_no_margin() -> None:
    rng = np.random.default_rng(0)
    text, decoys = "anchor, zebra, violin.", ["garden, piano, music.", "island, walrus, teapot."]
    for _ in range(10):
        flat = (-3.8 + 0.1 * rng.standard_normal((200, len(LISTENER_SYMBOLS)))).astype(np.float32)
        assert score_text(flat, LISTENER_SYMBOLS, text).whole > -1.0
        assert score_margin(flat, LISTENER_SYMBOLS, text, decoys) < verification.MARGIN_LIMIT
    assert score_margin(ideal_log_probs(text), LISTENER_SYMBOLS, text, decoys) > 2.0
    assert score_margin(ideal_log_probs(decoys[0]), LISTENER_SYMBOLS, text, decoys) < -2.0


def test_best_path_equals_exhaustive_search() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        frames, symbols = int(rng.integers(4, 8)), rng.integers(1, 4, size=2)
        ratio = -rng.exponential(2.0, size=(frames, 4))
        ratio -= ratio.max(axis=1, keepdims=True)
        path = best_path(ratio, symbols, blank=0)
        assert path is not None
        states = path.states
        assert 0 <= path.start <= frames - len(states)
        classes = [0 if state % 2 == 0 else int(symbols[state // 2]) for state in states]
        assert states[0] == 1
        assert states[-1] == 3
        assert (np.diff(states) >= 0).all()
        assert path.ratios.sum() == pytest.approx(search_exhaustively(ratio, symbols))
        assert classes[0] == symbols[0]
        assert classes[-1] == symbols[1]


def test_batched_path_scores_equal_single_paths() -> None:
    rng = np.random.default_rng(1)
    ratio = -rng.exponential(2.0, size=(12, 5))
    texts = [rng.integers(1, 5, size=length) for length in (1, 2, 3, 3, 4, 6, 30)]
    texts.append(np.array([2, 2, 2]))  # equal symbols need a blank between them
    *scores, too_long, repeated = best_path_scores(ratio, texts, blank=0)
    for symbols, score in zip([*texts[:-2], texts[-1]], [*scores, repeated], strict=True):
        path = best_path(ratio, symbols, blank=0)
        assert path is not None
        assert score == pytest.approx(path.ratios.sum())
    assert best_path(ratio, texts[-2], blank=0) is None
    assert too_long < -1e20


def search_exhaustively(ratio: NDArray[np.float64], symbols: NDArray[np.int64]) -> float:
    """Return the best score of all paths of two symbols through a part of the frames."""
    a, b = (int(symbol) for symbol in symbols)
    best = -np.inf
    for begin in range(len(ratio)):
        for first in range(begin + 1, len(ratio)):  # where the first symbol ends
            for second in range(first, len(ratio)):
                if a == b and second == first:
                    continue  # equal symbols need a blank between them
                for end in range(second + 1, len(ratio) + 1):
                    score = ratio[begin:first, a].sum() + ratio[first:second, 0].sum()
                    best = max(best, float(score + ratio[second:end, b].sum()))
    return best


# --- replay ------------------------------------------------------------


@pytest.fixture(scope="module")
def voice() -> Samples:
    samples, rate = soundfile.read(VOICE, dtype="float32")
    assert rate == RATE
    return np.asarray(samples, np.float32)


def encode_and_decode(samples: Samples, container: str, subtype: str) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype=subtype)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def test_fingerprint_matches_a_changed_copy(voice: Samples) -> None:
    earlier = [compute_fingerprint(voice, RATE)]
    rng = np.random.default_rng(0)
    noise = (0.3 * voice.std() * rng.standard_normal(len(voice))).astype(np.float32)
    halved = np.interp(np.arange(0, len(voice), 2), np.arange(len(voice)), voice)
    for name, (samples, rate) in {
        "softer": (voice * 0.05, RATE),
        "trimmed": (voice[3333:], RATE),
        "excerpt": (voice[20_000:60_000], RATE),
        "between other sounds": (np.concatenate([noise, voice[:50_000], noise]), RATE),
        "noisy": (voice + noise, RATE),
        "at another rate": (halved.astype(np.float32), RATE // 2),
        "faster": (voice, round(RATE * 1.05)),
        "slower": (voice, round(RATE * 0.93)),
        "mp3": (encode_and_decode(voice, "MP3", "MPEG_LAYER_III"), RATE),
        "opus": (encode_and_decode(voice, "OGG", "OPUS"), RATE),
    }.items():
        assert (
            max_similarity(fingerprint_at_speeds(samples, rate), earlier)
            > verification.REPLAY_LIMIT
        ), name
    assert similarity(earlier[0], earlier[0]) == 1.0
    assert max_similarity(fingerprint_at_speeds(voice * 0.05, RATE), earlier) > 0.99


def test_fingerprint_does_not_match_other_recordings(voice: Samples) -> None:
    earlier = compute_fingerprint(voice, RATE)
    rng = np.random.default_rng(1)
    others = [voice[::-1], rng.standard_normal(5 * RATE).astype(np.float32)]
    speaker = SyntheticSpeaker.sample(1_000_000_000, {"espeak": 1.0})
    text = "It rained all day, and then it stopped."
    others += [utterance.samples for utterance in synthesize_speaker(speaker, [text])[0]]
    for other in others:
        assert (
            max_similarity(fingerprint_at_speeds(other, RATE), [earlier])
            < verification.REPLAY_LIMIT - 0.02
        )
    assert max_similarity(fingerprint_at_speeds(voice, RATE), []) == 0.0
    assert similarity(earlier[:20], earlier) == 0.0  # too short to compare
    assert len(compute_fingerprint(voice[:10], RATE)) == 1


# --- splicing --------------------------------------------------------------------


def test_background_jumps_are_measured() -> None:
    rng = np.random.default_rng(0)
    noise = (0.01 * rng.standard_normal(8 * RATE)).astype(np.float32)
    level, shape = measure_background_jumps(noise, RATE)
    assert level < 2.0
    assert shape < 1.5
    louder = noise * np.where(np.arange(len(noise)) < 5 * RATE, 1.0, 10.0).astype(np.float32)
    level, shape = measure_background_jumps(louder, RATE)
    assert level == pytest.approx(20.0, abs=2.0)
    assert shape < 4.0
    filtered = noise.copy()
    filtered[5 * RATE :] = np.convolve(filtered[5 * RATE :], np.ones(8) / 3, "same")
    level, shape = measure_background_jumps(filtered, RATE)
    assert level > 3.0
    assert shape > 3.0
    for short in (noise[: 2 * RATE], noise[:100]):
        assert measure_background_jumps(short, RATE) == (0.0, 0.0)


def test_running_percentiles_equal_numpy() -> None:
    rng = np.random.default_rng(2)
    level = rng.normal(size=(777, 3)).cumsum(axis=0)
    ends = np.arange(5, 778, 7)
    expected = [np.percentile(level[:end], 3.0, axis=0) for end in ends]
    np.testing.assert_allclose(splicing._running_percentiles(level, ends, 3.0), expected)


def test_speaker_consistency_is_the_lowest_between_thirds() -> None:
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(9 * RATE)).astype(np.float32)
    noise[6 * RATE :] *= 0.5

    def embed(samples: Samples) -> NDArray[np.float32]:
        return np.array([1.0, 0.0] if samples.std() > 0.07 else [0.6, 0.8], np.float32)

    silence = np.zeros(4 * RATE, np.float32)
    assert measure_speaker_consistency(np.append(noise, silence), RATE, embed) == pytest.approx(0.6)
    assert measure_speaker_consistency(noise[: 6 * RATE], RATE, embed) == 1.0


# --- all scores ---------------------------------------------------------------------------

GOOD = Scores(
    statement=-0.5,
    phrase=-0.5,
    words={"anchor": -0.1, "violin": -0.2},
    margin=3.0,
    speaker_cosine=0.95,
    phrase_cosine=0.8,
    reference_cosine=0.8,
    consistency=0.8,
    background_level=1.0,
    background_shape=1.0,
    replay=0.55,
    spoof=0.1,
    as_norm=None,
)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"statement": -9.0}, "the statement is not recognized"),
        ({"phrase": -9.0}, "the words for today"),
        ({"words": {"anchor": -0.1, "violin": -9.0}}, "it lacks 'violin'"),
        ({"margin": 0.0}, "other words match it as well"),
        ({"speaker_cosine": -0.1}, "it is another voice"),
        ({"phrase_cosine": -0.1}, "the words for today do not sound enough like"),
        ({"reference_cosine": -0.1}, "parts of the recording are in another voice"),
        ({"consistency": -0.5}, "not in one voice"),
        ({"background_level": 30.0}, "spliced together"),
        ({"background_shape": 30.0}, "spliced together"),
        ({"replay": 0.9}, "used before"),
        ({"spoof": 0.99}, "sounds synthetic"),
        ({"as_norm": 0.5}, "it is another voice"),
    ],
)
def test_each_limit_alone_refuses(change: dict[str, object], fault: str) -> None:
    assert GOOD.find_faults() == []
    (reported,) = dataclasses.replace(GOOD, **change).find_faults()  # type: ignore[arg-type]
    assert fault in reported


def test_cosine_decides_only_without_a_normalized_score() -> None:
    assert dataclasses.replace(GOOD, speaker_cosine=0.7, as_norm=4.0).find_faults() == []
    (fault,) = dataclasses.replace(GOOD, speaker_cosine=0.7).find_faults()
    assert "another voice" in fault


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Scores)])
def test_nan_score_is_refused(name: str) -> None:
    bad: object = {"anchor": float("nan")} if name == "words" else float("nan")
    assert len(dataclasses.replace(GOOD, **{name: bad}).find_faults()) == 1  # type: ignore[arg-type]


def test_missing_spoof_score_is_recorded_as_not_checked() -> None:
    unchecked = dataclasses.replace(GOOD, spoof=None)
    assert unchecked.as_dict()["spoof"] == "not checked"
    assert dataclasses.replace(GOOD, spoof=0.25).as_dict()["spoof"] == 0.25
    assert unchecked.find_faults() == [verification.NOT_CHECKED]


@pytest.fixture(scope="module")
def default() -> valle.Model:
    if not (DEFAULT_FOLDER / CONFIG_NAME).is_file():
        pytest.skip("this checkout has no default bundle")
    return valle.load(threads=1)


def synthesize(number: int, text: str) -> Samples:
    """Synthesize a text in the voice of a synthetic speaker of no training corpus."""
    speaker = SyntheticSpeaker.sample(1_000_000_000 + number, {"espeak": 1.0})
    return np.concatenate([u.samples for u in synthesize_speaker(speaker, [text])[0]])


def test_right_words_in_the_right_voice_are_accepted_and_others_refused(
    default: valle.Model,
) -> None:
    created = challenge.create("Ada")
    reference = synthesize(3, "The train left early, and nobody was there to see it go."), RATE
    recorded = synthesize(3, created.text), RATE
    candidates = ("walrus", "pancake", "teapot", "island", "garlic", "engine")
    wrong = [word for word in candidates if word not in created.phrase][: len(created.phrase)]
    outdated = created.text.replace(", ".join(created.phrase), ", ".join(wrong))

    def faults(
        recorded: tuple[Samples, int],
        statement: Statement = created.statement,
        used_before: Samples | None = None,
    ) -> str:
        earlier = [] if used_before is None else [compute_fingerprint(used_before, RATE)]
        scores = verification.score(default.bundle, reference, recorded, statement, earlier)
        # All these voices are synthetic, which the detector notices; the other checks are tested.
        return "; ".join(dataclasses.replace(scores, spoof=0.0).find_faults())

    assert faults(recorded) == ""
    outdated_recording = synthesize(3, outdated), RATE
    assert "the words for today are not recognized" in faults(outdated_recording)
    assert "the statement is not recognized" in faults(
        (synthesize(3, "It rained all day. " * 5), RATE)
    )
    assert "another voice" in faults((synthesize(5, created.text), RATE))
    softer = encode_and_decode(recorded[0][4000:] * np.float32(0.4), "MP3", "MPEG_LAYER_III")
    assert faults((softer, RATE), used_before=recorded[0]) == "it was used before"
    half = len(recorded[0]) // 2
    spliced = np.concatenate([recorded[0][:half], synthesize(5, created.text)[half:]])
    assert "the words for today do not sound enough like" in faults((spliced, RATE))
    other_speaker = synthesize(
        8, "He said what he thought of it, and then he went out into the garden."
    )
    reference = np.concatenate([reference[0], other_speaker]), RATE
    assert "parts of the recording are in another voice" in faults(recorded)


def test_silent_parts_of_a_reference_are_ignored(default: valle.Model, voice: Samples) -> None:
    parts = 3
    speech = np.resize(voice, 2 * parts * RATE)
    hiss = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    silence = hiss * np.float32(0.01 * np.sqrt(np.mean(speech**2)))  # 40 dB below
    alone = verification.analyze_reference(default.bundle, speech, RATE)
    late = verification.analyze_reference(default.bundle, np.concatenate([silence, speech]), RATE)
    assert len(alone.parts) == len(late.parts) == parts
    np.testing.assert_allclose(late.parts, alone.parts, atol=1e-4)
    digital = verification.analyze_reference(default.bundle, np.zeros(5 * RATE, np.float32), RATE)
    assert len(digital.parts) == 2  # without any speech, no part is left out
