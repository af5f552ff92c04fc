"""What is measured of a spoken agreement: known answers, and the whole with the default model."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.config import CONFIG_NAME
from valle.consent import challenge, verification
from valle.consent import splicing as splices
from valle.consent.challenge import Statement
from valle.consent.fingerprint import at_speeds, fingerprint, heard_before, likeness
from valle.consent.splicing import background_jumps, least_alike_thirds
from valle.consent.text_verification import LOWEST, best_path, best_scores, how_surely_said, margin
from valle.consent.verification import Scores
from valle.corpora.synthetic import say
from valle.corpora.synthetic_speaker import MadeSpeaker
from valle.text.phonemes import to_sentences
from valle.text.symbols import BLANK, BORDERS, LISTENER_SYMBOLS

RATE = 16_000
VOICE = Path(__file__).parents[2] / "examples" / "voice.wav"

Samples = NDArray[np.float32]

# --- what is said ---------------------------------------------------------------------------


def heard(text: str, sure: float = 0.9) -> NDArray[np.float32]:
    """CTC log-probabilities [frames, classes] of a listener who hears exactly this text."""
    symbols = [p.symbol for s in to_sentences(text)[0] for p in s.phonemes]
    classes: list[str] = [BLANK]
    for symbol in symbols:
        classes += [symbol, BLANK, BLANK] if symbol not in BORDERS else [BLANK]
    count = len(LISTENER_SYMBOLS)
    probabilities = np.full((len(classes), count), (1 - sure) / (count - 1))
    probabilities[np.arange(len(classes)), [LISTENER_SYMBOLS.index(c) for c in classes]] = sure
    return np.log(probabilities).astype(np.float32)


def test_a_text_that_is_said_costs_nothing() -> None:
    text = "The red house is green, and my words are anchor, violin."
    said = how_surely_said(heard(text), LISTENER_SYMBOLS, text)
    assert said.whole == 0.0 and set(said.words.values()) == {0.0}
    assert {text[start:end]: count for (start, end), count in said.phonemes.items()}["house"] == 3
    more = f"Well, I begin. {text} Shall I go on?"
    assert how_surely_said(heard(more), LISTENER_SYMBOLS, text).whole == 0.0


def test_a_word_that_is_not_said_is_found_and_no_other() -> None:
    said, asked = (f"My words are anchor, {w}, garden, pillow." for w in ("zebra", "music"))
    found = how_surely_said(heard(said), LISTENER_SYMBOLS, asked)
    words = {asked[start:end]: score for (start, end), score in found.words.items()}
    assert words["music"] < -5.0
    assert words["My"] == words["words"] == words["pillow"] == 0.0
    left_out = "My words are anchor, garden, pillow."
    found = how_surely_said(heard(left_out), LISTENER_SYMBOLS, asked)
    assert {asked[s:e]: v for (s, e), v in found.words.items()}["music"] < -4.0


def test_a_sound_put_in_is_paid_for_by_its_neighbours() -> None:
    asked, said = "My words are anchor, garden.", "My words are anchor, zebra, garden."
    found = how_surely_said(heard(said), LISTENER_SYMBOLS, asked)
    words = {asked[start:end]: score for (start, end), score in found.words.items()}
    assert words["anchor"] < -2.0 and words["garden"] < -2.0 and words["My"] == 0.0


def test_a_text_with_no_room_is_not_said() -> None:
    text = "The red house is green."
    found = how_surely_said(heard("No."), LISTENER_SYMBOLS, text)
    assert found.whole == LOWEST and set(found.words.values()) == {LOWEST}
    assert how_surely_said(heard("No.")[:0], LISTENER_SYMBOLS, text).whole == LOWEST


def test_a_listener_who_hears_nothing_clearly_finds_no_text_rather_than_another() -> None:
    rng = np.random.default_rng(0)
    text, others = "anchor, zebra, violin.", ["garden, piano, music.", "island, walrus, teapot."]
    for _ in range(10):
        flat = (-3.8 + 0.1 * rng.standard_normal((200, len(LISTENER_SYMBOLS)))).astype(np.float32)
        assert how_surely_said(flat, LISTENER_SYMBOLS, text).whole > -1.0
        assert margin(flat, LISTENER_SYMBOLS, text, others) < verification.MARGIN_LIMIT
    assert margin(heard(text), LISTENER_SYMBOLS, text, others) > 2.0
    assert margin(heard(others[0]), LISTENER_SYMBOLS, text, others) < -2.0


def test_the_best_path_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        frames, symbols = int(rng.integers(4, 8)), rng.integers(1, 4, size=2)
        ratio = -rng.exponential(2.0, size=(frames, 4))
        ratio -= ratio.max(axis=1, keepdims=True)
        found = best_path(ratio, symbols, blank=0)
        assert found is not None
        begin, states, costs = found
        assert 0 <= begin <= frames - len(states)
        classes = [0 if state % 2 == 0 else int(symbols[state // 2]) for state in states]
        assert states[0] == 1 and states[-1] == 3 and (np.diff(states) >= 0).all()
        assert costs.sum() == pytest.approx(exhaustive(ratio, symbols))
        assert classes[0] == symbols[0] and classes[-1] == symbols[1]


def test_the_best_scores_of_many_texts_are_those_of_each_path() -> None:
    rng = np.random.default_rng(1)
    ratio = -rng.exponential(2.0, size=(12, 5))
    texts = [rng.integers(1, 5, size=length) for length in (1, 2, 3, 3, 4, 6, 30)]
    texts.append(np.array([2, 2, 2]))  # like symbols, with a blank between any two
    *scores, without_room, alike = best_scores(ratio, texts, blank=0)
    for said, score in zip([*texts[:-2], texts[-1]], [*scores, alike], strict=True):
        path = best_path(ratio, said, blank=0)
        assert path is not None and score == pytest.approx(path[2].sum())
    assert best_path(ratio, texts[-2], blank=0) is None and without_room < -1e20


def exhaustive(ratio: NDArray[np.float64], symbols: NDArray[np.int64]) -> float:
    """The best of all ways to say two symbols in a part of the frames."""
    one, two = (int(symbol) for symbol in symbols)
    best = -np.inf
    for begin in range(len(ratio)):
        for first in range(begin + 1, len(ratio)):  # where the first symbol ends
            for second in range(first, len(ratio)):
                if one == two and second == first:
                    continue  # like symbols need a blank between them
                for end in range(second + 1, len(ratio) + 1):
                    score = ratio[begin:first, one].sum() + ratio[first:second, 0].sum()
                    best = max(best, float(score + ratio[second:end, two].sum()))
    return best


# --- whether it was heard before ------------------------------------------------------------


@pytest.fixture(scope="module")
def voice() -> Samples:
    samples, rate = soundfile.read(VOICE, dtype="float32")
    assert rate == RATE
    return np.asarray(samples, np.float32)


def through(samples: Samples, container: str, coder: str) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype=coder)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def test_a_recording_is_known_again_however_it_was_changed(voice: Samples) -> None:
    known = [fingerprint(voice, RATE)]
    rng = np.random.default_rng(0)
    noise = (0.3 * voice.std() * rng.standard_normal(len(voice))).astype(np.float32)
    halved = np.interp(np.arange(0, len(voice), 2), np.arange(len(voice)), voice)
    for name, (samples, rate) in {
        "softer": (voice * 0.05, RATE),
        "begun later": (voice[3333:], RATE),
        "a part of it": (voice[20_000:60_000], RATE),
        "among other sounds": (np.concatenate([noise, voice[:50_000], noise]), RATE),
        "noisy": (voice + noise, RATE),
        "at another rate": (halved.astype(np.float32), RATE // 2),
        "faster": (voice, round(RATE * 1.05)),
        "slower": (voice, round(RATE * 0.93)),
        "mp3": (through(voice, "MP3", "MPEG_LAYER_III"), RATE),
        "opus": (through(voice, "OGG", "OPUS"), RATE),
    }.items():
        assert heard_before(at_speeds(samples, rate), known) > verification.REPLAY_LIMIT, name
    assert likeness(known[0], known[0]) == 1.0
    assert heard_before(at_speeds(voice * 0.05, RATE), known) > 0.99


def test_another_recording_is_not_known(voice: Samples) -> None:
    known = fingerprint(voice, RATE)
    rng = np.random.default_rng(1)
    others = [voice[::-1], rng.standard_normal(5 * RATE).astype(np.float32)]
    speaker = MadeSpeaker.draw(1_000_000_000, {"espeak": 1.0})
    others += [one.samples for one in say(speaker, ["It rained all day, and then it stopped."])[0]]
    for other in others:
        assert heard_before(at_speeds(other, RATE), [known]) < verification.REPLAY_LIMIT - 0.02
    assert heard_before(at_speeds(voice, RATE), []) == 0.0
    assert likeness(known[:20], known) == 0.0  # too short to say
    assert len(fingerprint(voice[:10], RATE)) == 1


# --- whether it is whole --------------------------------------------------------------------


def test_a_background_that_changes_is_found() -> None:
    rng = np.random.default_rng(0)
    noise = (0.01 * rng.standard_normal(8 * RATE)).astype(np.float32)
    level, colour = background_jumps(noise, RATE)
    assert level < 2.0 and colour < 1.5
    other = noise * np.where(np.arange(len(noise)) < 5 * RATE, 1.0, 10.0).astype(np.float32)
    level, colour = background_jumps(other, RATE)
    assert level == pytest.approx(20.0, abs=2.0) and colour < 4.0
    dull = noise.copy()
    dull[5 * RATE :] = np.convolve(dull[5 * RATE :], np.ones(8) / 3, "same")
    level, colour = background_jumps(dull, RATE)
    assert level > 3.0 and colour > 3.0
    for short in (noise[: 2 * RATE], noise[:100]):
        assert background_jumps(short, RATE) == (0.0, 0.0)


def test_the_jump_is_that_between_percentiles_before_and_after() -> None:
    rng = np.random.default_rng(2)
    level = rng.normal(size=(777, 3)).cumsum(axis=0)
    ends = np.arange(5, 778, 7)
    expected = [np.percentile(level[:end], 3.0, axis=0) for end in ends]
    np.testing.assert_allclose(splices._backgrounds(level, ends, 3.0), expected)


def test_thirds_of_another_voice_are_found() -> None:
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(9 * RATE)).astype(np.float32)
    noise[6 * RATE :] *= 0.5

    def embed(samples: Samples) -> NDArray[np.float32]:
        return np.array([1.0, 0.0] if samples.std() > 0.07 else [0.6, 0.8], np.float32)

    silence = np.zeros(4 * RATE, np.float32)
    assert least_alike_thirds(np.append(noise, silence), RATE, embed) == pytest.approx(0.6)
    assert least_alike_thirds(noise[: 6 * RATE], RATE, embed) == 1.0


# --- all together ---------------------------------------------------------------------------

GOOD = Scores(
    -0.5,
    -0.5,
    {"anchor": -0.1, "violin": -0.2},
    3.0,
    0.95,
    0.8,
    0.8,
    0.8,
    1.0,
    1.0,
    0.55,
    None,
    None,
)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"statement": -9.0}, "the statement is not heard"),
        ({"phrase": -9.0}, "the words for today"),
        ({"words": {"anchor": -0.1, "violin": -9.0}}, "it lacks 'violin'"),
        ({"margin": 0.0}, "other words are heard as well"),
        ({"voice": -0.1}, "it is another voice"),
        ({"phrase_voice": -0.1}, "the words for today are in another voice"),
        ({"reference": -0.1}, "parts of the recording are in another voice"),
        ({"thirds": -0.5}, "not of one voice"),
        ({"background": 30.0}, "cut together"),
        ({"colour": 30.0}, "cut together"),
        ({"replay": 0.9}, "used before"),
        ({"made_speech": 0.99}, "made speech"),
        ({"likeness": 0.5}, "it is another voice"),
    ],
)
def test_each_limit_alone_refuses(change: dict[str, object], why: str) -> None:
    assert GOOD.faults() == []
    (fault,) = dataclasses.replace(GOOD, **change).faults()  # type: ignore[arg-type]
    assert why in fault


def test_the_cosine_decides_only_where_the_cohort_cannot_say() -> None:
    assert dataclasses.replace(GOOD, voice=0.7, likeness=4.0).faults() == []
    (fault,) = dataclasses.replace(GOOD, voice=0.7).faults()
    assert "another voice" in fault


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Scores)])
def test_a_score_that_is_no_number_is_not_enough(name: str) -> None:
    bad: object = {"anchor": float("nan")} if name == "words" else float("nan")
    assert len(dataclasses.replace(GOOD, **{name: bad}).faults()) == 1  # type: ignore[arg-type]


def test_what_is_not_checked_is_not_said_to_be() -> None:
    assert GOOD.as_facts()["made_speech"] == "not checked"
    assert dataclasses.replace(GOOD, made_speech=0.25).as_facts()["made_speech"] == 0.25


@pytest.fixture(scope="module")
def default() -> valle.Model:
    if not (DEFAULT_FOLDER / CONFIG_NAME).is_file():
        pytest.skip("this checkout has no default bundle")
    return valle.load(threads=1)


def spoken(number: int, text: str) -> Samples:
    """A made speaker, whom no training corpus holds, reads a text."""
    speaker = MadeSpeaker.draw(1_000_000_000 + number, {"espeak": 1.0})
    return np.concatenate([one.samples for one in say(speaker, [text])[0]])


def test_the_right_words_in_the_right_voice_are_accepted_and_others_are_not(
    default: valle.Model,
) -> None:
    made = challenge.new("Ada")
    reference = spoken(3, "The train left early, and nobody was there to see it go."), RATE
    read = spoken(3, made.text), RATE
    others = tuple(word for word in ("walrus", "pancake", "teapot", "island", "garlic", "engine"))
    wrong = [word for word in others if word not in made.phrase][: len(made.phrase)]
    stale = made.text.replace(", ".join(made.phrase), ", ".join(wrong))

    def faults(
        recorded: tuple[Samples, int],
        asked: Statement = made.statement,
        known: Samples | None = None,
    ) -> str:
        earlier = [] if known is None else [fingerprint(known, RATE)]
        scores = verification.score(default.bundle, reference, recorded, asked, earlier)
        # All these voices are made, which the detector hears; here the other checks are asked.
        return "; ".join(dataclasses.replace(scores, made_speech=None).faults())

    assert faults(read) == ""
    assert "the words for today are not heard" in faults((spoken(3, stale), RATE))
    assert "the statement is not heard" in faults((spoken(3, "It rained all day. " * 5), RATE))
    assert "another voice" in faults((spoken(5, made.text), RATE))
    softer = through(read[0][4000:] * np.float32(0.4), "MP3", "MPEG_LAYER_III")
    assert faults((softer, RATE), known=read[0]) == "it was used before"
    half = len(read[0]) // 2
    two = np.concatenate([read[0][:half], spoken(5, made.text)[half:]])
    assert "the words for today are in another voice" in faults((two, RATE))
    more = spoken(8, "He said what he thought of it, and then he went out into the garden.")
    reference = np.concatenate([reference[0], more]), RATE
    assert "parts of the recording are in another voice" in faults(read)


def test_silent_parts_of_a_reference_are_nobodys_voice(
    default: valle.Model, voice: Samples
) -> None:
    parts = 3
    said = np.resize(voice, 2 * parts * RATE)
    hiss = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    silence = hiss * np.float32(0.01 * np.sqrt(np.mean(said**2)))  # 40 dB below
    alone = verification.hear_reference(default.bundle, said, RATE)
    late = verification.hear_reference(default.bundle, np.concatenate([silence, said]), RATE)
    assert len(alone.parts) == len(late.parts) == parts
    np.testing.assert_allclose(late.parts, alone.parts, atol=1e-4)
    digital = verification.hear_reference(default.bundle, np.zeros(5 * RATE, np.float32), RATE)
    assert len(digital.parts) == 2  # where nobody speaks anywhere, none is left out
