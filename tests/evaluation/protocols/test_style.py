"""Lost and doubled words by forced alignment, pauses, rank correlation, middles filled in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import valle
from conftest import RATE
from valle.evaluation.material import Original, Speaker
from valle.evaluation.metrics.words import Said, said, words_of
from valle.evaluation.protocols import hard, naturalness, style
from valle.runtime.alignment import Alignment
from valle.runtime.ar import ARDecoder
from valle.runtime.nar import NAR
from valle.runtime.recognizer import Listener
from valle.runtime.sampling import Sampling
from valle.synthesis.durations import Symbols
from valle.synthesis.infilling import Side, fill
from valle.text.phonemes import to_sentences

CLASSES = ("<blank>", "<pause>", "a", "b", "c", "d", "e")
WORDS = [("ab", ["a", "b"]), ("cd", ["c", "d"]), ("ea", ["e", "a"]), ("d", ["d"])]


def heard(sounds: str, sure: float = 0.9, each: int = 2) -> np.ndarray:
    """Log-probabilities [frames, classes] in which each sound is heard, blanks between."""
    rows = []
    for sound in sounds:
        for name in (sound, "<blank>"):
            row = np.full(len(CLASSES), (1 - sure) / (len(CLASSES) - 1))
            row[CLASSES.index(name)] = sure
            rows += [row] * each
    return np.log(np.array(rows))


def found(sounds: str, seconds: float = 1.4, sure: float = 0.99) -> Said:
    return said(heard(sounds, sure), CLASSES, WORDS, seconds)


def test_words_that_are_all_there() -> None:
    whole = found("abcdead")
    assert (whole.words, whole.missing, whole.doubled) == (3, (), ())  # of two sounds or more
    assert not whole.flagged


@pytest.mark.parametrize(("sounds", "word"), [("cdead", "ab"), ("abead", "cd"), ("abcdd", "ea")])
def test_a_missing_word_is_found(sounds: str, word: str) -> None:
    assert found(sounds).missing == (word,)


@pytest.mark.parametrize(("sounds", "word"), [("ababcdead", "ab"), ("abcdcdead", "cd")])
def test_a_doubled_word_is_found(sounds: str, word: str) -> None:
    one = found(sounds)
    assert one.doubled == (word,) and one.missing == ()


def test_one_wrong_sound_is_no_missing_word() -> None:
    assert found("abcbead").missing == ()


def test_too_short_and_too_long() -> None:
    assert found("abcdead", seconds=0.3).cut_short and not found("abcdead", seconds=0.5).cut_short
    assert found("abcdead", seconds=4.1).runs_on and not found("abcdead", seconds=3.9).runs_on
    short = said(heard("a", each=1), CLASSES, WORDS, 0.04)  # fewer frames than sounds
    assert short.cut_short and short.missing == ("ab", "cd", "ea")


def test_words_of_sentences_are_those_written() -> None:
    words = words_of(to_sentences("Two cats. The 2 cats!")[0])
    assert [word for word, _ in words] == ["Two", "cats", "The", "2", "cats"]
    assert words[0][1] == words[3][1]


def test_a_hundred_hard_texts() -> None:
    texts = hard.read_texts()
    assert len(texts) == len({text for _, text in texts}) == 100
    kinds = {kind for kind, _ in texts}
    assert {kind for kind, _ in texts[:20]} == kinds and len(kinds) == 6
    for kind, text in texts:
        words = words_of(to_sentences(text)[0])
        assert words and (kind != "long" or len(text.split()) >= 60)
        assert kind != "one word" or len(words) == 1


def test_figures_of_hard_texts() -> None:
    fine, lost = Said(4, (), (), False, False), Said(4, ("x",), ("y",), True, False)
    trials = [
        hard.Trial("numbers", "s1", "t", 0, 1.0, fine),
        hard.Trial("numbers", "s2", "t", 1, 1.0, lost),
        hard.Trial(hard.ORIGINALS, "s1", "o", None, 1.0, fine),
    ]
    numbers, everything, originals = hard.results(trials)
    assert (numbers.clips, numbers.words) == (2, 8) == (everything.clips, everything.words)
    assert numbers.missing.value == numbers.doubled.value == 1 / 8
    assert numbers.cut_short.value == numbers.flagged.value == 0.5
    assert numbers.runs_on.value == originals.flagged.value == 0.0
    assert len(hard.table([numbers, everything, originals]).splitlines()) == 4


def test_a_line_without_a_kind(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("# kind and text\nno tab\n", encoding="utf-8")
    with pytest.raises(valle.UsageError, match="not a kind"):
        hard.read_texts(tmp_path / "texts")


def test_pauses_are_inside_of_speech() -> None:
    tone = np.sin(np.arange(RATE // 2) * 0.1).astype(np.float32) * 0.3
    gaps = [np.zeros(round(seconds * RATE), np.float32) for seconds in (0.5, 0.3, 0.06, 0.7)]
    samples = np.concatenate([gaps[0], tone, gaps[1], tone, gaps[2], tone, gaps[3]])
    assert naturalness.pauses_of(samples, RATE) == pytest.approx((0.3,), abs=0.021)
    assert naturalness.pauses_of(np.zeros(RATE, np.float32), RATE) == ()


def test_the_picture_and_figures_of_naturalness(tmp_path: Path) -> None:
    clips = [
        naturalness.Clip(naturalness.ORIGINALS, "s", "t", 30.0, 4.0, (0.2, 0.4)),
        naturalness.Clip(naturalness.ORIGINALS, "s", "t", 30.0, 8.0, (0.3,)),
        naturalness.Clip(naturalness.OURS, "s", "t", 60.0, None, ()),
    ]
    rows = naturalness.results(clips)
    assert rows["originals"]["pitch_range_semitones"] == [5.0, 6.0, 7.0]
    assert rows["originals"]["pause_seconds"][1] == pytest.approx(0.3)
    assert rows["originals"]["pauses_a_minute"] == 3.0
    assert rows["ours"]["pitch_range_semitones"] is None
    assert len(naturalness.table(rows).splitlines()) == 3
    pytest.importorskip("matplotlib")
    naturalness.save_picture(tmp_path / "picture.png", clips)
    assert (tmp_path / "picture.png").stat().st_size > 5000
    with pytest.raises(valle.UsageError, match="end its name"):
        naturalness.save_picture(tmp_path / "picture.wav", clips)


def test_spearman() -> None:
    assert style.spearman([1, 2, 3, 4], [10, 20, 30, 1000]) == pytest.approx(1.0)
    assert style.spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    # With ties: as by scipy.stats.spearmanr.
    assert style.spearman([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(0.9486832981)
    assert np.isnan(style.spearman([1, 2, 3], [5, 5, 5]))


def test_a_middle_of_the_debug_model(model: valle.Model) -> None:
    """Every sound gets a frame; chance and what is around change the middle, nothing else does."""
    rng = np.random.default_rng(0)

    def symbols(count: int) -> Symbols:
        ids = rng.integers(7, 40, count)
        return Symbols(ids, np.zeros(count, np.int64), np.zeros(count, bool))

    def side(frames: int) -> Side:
        return Side(rng.integers(0, 1024, (frames, 8)), symbols(5), np.arange(frames) * 5 // frames)

    before, after, other, middle = side(40), side(30), side(30), symbols(6)
    nothing = Side(np.zeros((0, 8), np.int64), symbols(0), np.zeros(0, np.int64))
    models = ARDecoder(model.bundle), NAR(model.bundle)
    voice = np.zeros(192, np.float32)

    def made(one: Side, two: Side, seed: int = 0, temperature: float = 0.9) -> np.ndarray:
        chance, sampling = np.random.default_rng(seed), Sampling(temperature, 0.8)
        return fill(*models, one, two, middle, voice, sampling, chance)

    first = made(before, after)
    assert len(first) >= 6 and (first < 1024).all()
    np.testing.assert_array_equal(first, made(before, after))
    for different in (made(before, after, seed=1), made(before, other), made(nothing, after)):
        assert first.shape != different.shape or (first != different).any()
    assert len(made(before, nothing)) >= 6


def test_the_evaluation_of_styles_on_a_debug_model(
    tmp_path: Path, babble: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = pytest.importorskip("valle.training.export.bundle", reason="needs the extra [train]")
    import dataclasses

    models = dataclasses.replace(
        export.random_models("debug", 0), style_borders=np.arange(35.0).reshape(5, 7)
    )
    export.export_bundle(tmp_path / "styled", "styled", models, "fp32")
    styled = valle.load(tmp_path / "styled", threads=1)
    soundfile.write(tmp_path / "o.wav", babble, RATE)
    original = Original(tmp_path / "o.wav", "The old man walked along the river.")
    speaker = Speaker("s", "c", babble, (original,))

    def evenly(listener: Listener, samples: np.ndarray, symbols: list[str]) -> Alignment:
        """A listener of random weights finds no word where it could be cut out."""
        frames = len(samples) // 320
        path = np.arange(frames) * len(symbols) // frames
        return Alignment(path, np.zeros(len(symbols), np.float32))

    monkeypatch.setattr(Listener, "align", evenly)
    asked = list(style.ask(styled, [speaker], seed=0, quiet=True))
    assert [one.asked for one in asked] == [*range(1, 9)] * 10
    filled = list(style.middles(styled, [speaker], seed=0, quiet=True))
    assert [one.row for one in filled] == [style.CODEC, style.FILLED]
    assert len({one.phonemes for one in filled}) == 1
    figures = style.results(asked, filled)
    assert list(figures["styles"]) == ["pitch", "pitch_range", "energy", "rate", "tilt"]
    assert len(style.table(figures).splitlines()) == 9


def test_styles_are_compared_within_a_voice_and_sentence() -> None:
    """Another sentence may be higher or lower in all classes; a voice counts once a sentence."""
    asked = [
        style.Asked("pitch", speaker, sentence, wanted, 10.0 * sentence + sign * wanted)
        for speaker, sign in (("a", 1.0), ("b", -1.0))
        for sentence in range(2)
        for wanted in range(1, 9)
    ]
    found = style.results([*asked, style.Asked("pitch", "a", 2, 1, None)], [])["styles"]["pitch"]
    assert found["clips"] == 32
    assert found["within_voices"]["value"] == pytest.approx(0.0)
    of_one = style.results(asked[:16], [])["styles"]["pitch"]
    assert of_one["within_voices"]["value"] == pytest.approx(1.0)
    assert of_one["together"] < 0.7


def test_styles_are_not_evaluated_without(model: valle.Model) -> None:
    with pytest.raises(valle.UsageError, match="without styles"):
        next(style.ask(model, [], seed=0, quiet=True))
