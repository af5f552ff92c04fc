"""Evaluation: the judges against known answers, the split, the figures, the table and picture."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from valle.arrays import Samples
from valle.cli.evaluate import evaluate as evaluate_command
from valle.cli.evaluate import evaluate_arguments
from valle.corpora.split import is_evaluation_sentence, plain_words
from valle.errors import UsageError
from valle.evaluation.material import (
    Original,
    Protocol,
    Speaker,
    draw_sentences,
    loudest,
    read_speakers,
)
from valle.evaluation.metrics.judges import SentenceChooser, VoiceJudge
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.protocols import zero_shot
from valle.evaluation.report import Clip, clip_rows, figures, report, table, write_json
from valle.files import data_folder, home_apart

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
VOICE = ROOT / "examples" / "voice.wav"
SAYS = (
    "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    "Shall we walk down to the river?"
)
OTHER = "He sat down at the piano."
CHOICES = [OTHER, "The train was on time.", SAYS, "This is very good news."]


@pytest.fixture(scope="module")
def chooser() -> SentenceChooser:
    pytest.importorskip("pocketsphinx", reason="needs the extra eval")
    return SentenceChooser()


@pytest.fixture(scope="module")
def judge() -> VoiceJudge:
    pytest.importorskip("webrtcvad", reason="needs the extra eval")
    pytest.importorskip("resemblyzer", reason="needs the extra eval")
    return VoiceJudge()


@pytest.fixture(scope="module")
def voice() -> Samples:
    samples, rate = soundfile.read(VOICE, dtype="float32")
    assert rate == 16_000
    return samples


@pytest.fixture(scope="module")
def recordings() -> tuple[Path, Path, Path]:
    """Manifest, held-out speakers, sentences."""
    paths = (
        SHARED / "speech" / "manifest.jsonl",
        SHARED / "heldout.txt",
        SHARED / "text" / "sentences.tsv",
    )
    for path in paths:
        if not path.is_file():
            pytest.skip(f"no recordings: {path} is absent")
    return paths


class KnowsAll:
    """Stands for a chooser whose dictionary has every word."""

    def knows(self, text: str) -> bool:
        return bool(plain_words(text))


def test_split_hears_words_only() -> None:
    assert plain_words("“It’s  late—Don't  STOP!” 3 o'clock") == (
        ["it's", "late", "don't", "stop", "3", "o'clock"]
    )
    assert plain_words(" -- '' ") == []
    assert not is_evaluation_sentence("...")


@given(st.lists(st.sampled_from("the rain has stopped it's Élan nine".split()), min_size=1))
def test_split_is_one_for_all_spellings(words: list[str]) -> None:
    side = is_evaluation_sentence(" ".join(words))
    assert is_evaluation_sentence("“" + ",  ".join(words).upper() + "!”") == side


def test_split_keeps_one_in_32() -> None:
    kept = sum(is_evaluation_sentence(f"sentence number {i}") for i in range(32_000))
    assert 900 < kept < 1100


def test_draw_avoids_training_texts(tmp_path: Path) -> None:
    texts = [f"Number {a} comes after {b} here." for a in "abcdefghij" for b in "klmnopqrstuvw"]
    kept = [text for text in texts if is_evaluation_sentence(text)]
    spoken, contained, free = kept[0], kept[1], set(kept[2:])
    around = next(
        text
        for i in range(100)
        if not is_evaluation_sentence(text := f"Well, {contained[:-1]} and on {i} times.")
    )
    (tmp_path / "s.tsv").write_text("".join(f"src\t{text}\n" for text in [*texts, around]))
    (tmp_path / "m.jsonl").write_text(json.dumps({"text": f"Oh {spoken}", "speaker": "x"}) + "\n")
    drawn = draw_sentences(tmp_path / "s.tsv", tmp_path / "m.jsonl", KnowsAll(), len(free))
    assert set(drawn) == free
    with pytest.raises(UsageError, match="fit for evaluation"):
        draw_sentences(tmp_path / "s.tsv", tmp_path / "m.jsonl", KnowsAll(), len(free) + 1)
    with pytest.raises(UsageError, match="--text"):
        draw_sentences(tmp_path / "absent.tsv", tmp_path / "m.jsonl", KnowsAll())


def test_the_forty_are_in_no_training_text(
    recordings: tuple[Path, Path, Path], chooser: SentenceChooser
) -> None:
    manifest, _, sentences = recordings
    drawn = draw_sentences(sentences, manifest, chooser)
    assert len({" ".join(plain_words(text)) for text in drawn}) == 40
    rows = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
    texts = [row["text"] or "" for row in rows]
    lines = sentences.read_text(encoding="utf-8").splitlines()
    texts += [t for t in (x.split("\t", 1)[1] for x in lines) if not is_evaluation_sentence(t)]
    training = {" ".join(plain_words(text)) for text in texts}
    for text in drawn:
        assert is_evaluation_sentence(text) and " ".join(plain_words(text)) not in training
        assert 5 <= len(plain_words(text)) <= 14 and chooser.knows(text)


def test_chooser_hears_the_sample_voice(chooser: SentenceChooser, voice: Samples) -> None:
    assert chooser.choose(voice, CHOICES) == 2
    assert chooser.choose(voice, CHOICES[::-1]) == 1
    # What is not said is not chosen, even when it is what should have been said.
    wrong = [OTHER, "The train was on time."]
    assert chooser.choose(voice[:0], wrong) is None
    assert chooser.choose(voice, [*wrong, SAYS]) == 2


def test_chooser_does_not_remember(chooser: SentenceChooser, voice: Samples) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 16_000).astype(np.float32)
    first = chooser.choose(noise, CHOICES)
    chooser.choose(voice, CHOICES)
    assert chooser.choose(noise, CHOICES) == first


def test_chooser_refuses_what_it_cannot_tell_apart(
    chooser: SentenceChooser, voice: Samples
) -> None:
    assert not chooser.knows("A zzyxian garden") and not chooser.knows("?!")
    with pytest.raises(UsageError, match="dictionary"):
        chooser.choose(voice, ["The zzyxian garden."])
    with pytest.raises(UsageError, match="twice"):
        chooser.choose(voice, ["The garden.", "the GARDEN!"])


def test_judge_knows_a_voice_again(judge: VoiceJudge, voice: Samples) -> None:
    half = len(voice) // 2
    one, two = judge.embed(voice[:half]), judge.embed(voice[half:])
    assert one.shape == (256,) and np.linalg.norm(one) == pytest.approx(1.0, abs=1e-4)
    # Played a third faster it is another, smaller person.
    other = judge.embed(np.interp(np.arange(0, half, 1.33), np.arange(half), voice[:half]))
    assert one @ two > 0.85
    assert one @ other < one @ two - 0.15
    assert not judge.embed(np.zeros(16_000, np.float32)).any()


def test_originals_are_recognised(
    recordings: tuple[Path, Path, Path], chooser: SentenceChooser, judge: VoiceJudge
) -> None:
    speakers = read_speakers(recordings[0], recordings[1], chooser)
    assert len(speakers) == 20 and {len(speaker.prompt) for speaker in speakers} == {48_000}
    native = [speaker for speaker in speakers if speaker.corpus.startswith("librispeech")]
    assert native[0] is speakers[0]  # a smoke run hears both corpora
    clips = zero_shot.evaluate(None, native, [], chooser, limit_speakers=1, limit_sentences=2)
    assert [clip.chosen for clip in clips] == [o.text for o in native[0].originals[:2]]
    assert all(clip.nearest_is_own and clip.similarity > clip.others + 0.15 for clip in clips)


def test_interval_of_known_samples() -> None:
    assert bootstrap_interval([1, 2, 3], [2, 4, 6]) == (0.5, 0.5, 0.5)
    # 400 speakers of deviation 1: the mean's interval is 1.96 / 20 to each side.
    scores = np.random.default_rng(3).normal(5.0, 1.0, 400)
    value, low, high = bootstrap_interval(scores, np.ones(400))
    assert value == pytest.approx(scores.mean())
    assert (value - low, high - value) == pytest.approx((0.098, 0.098), abs=0.015)
    assert bootstrap_interval(scores, np.ones(400)) == (value, low, high)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([], [])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_interval_lies_among_the_speakers(scores: list[float]) -> None:
    value, low, high = bootstrap_interval(scores, [1.0] * len(scores), draws=200)
    assert min(scores) - 1e-9 <= low <= high <= max(scores) + 1e-9
    assert min(scores) - 1e-9 <= value <= max(scores) + 1e-9


def clip(speaker: str, right: bool, **changes: Any) -> Clip:
    values = {
        **{"row": "ours", "speaker": speaker, "corpus": "c", "text": "a", "similarity": 0.8},
        **{"chosen": "a" if right else None, "others": 0.5, "nearest_is_own": right},
        **{
            "quality": None,
            "phoneme_errors": None,
            "phonemes": 0,
            "seconds": 2.0,
            "work_seconds": None,
        },
    }
    return Clip(**(values | changes))


def test_figures_are_ratios_of_sums() -> None:
    clips = [
        clip("x", True, phoneme_errors=1.0, phonemes=10, work_seconds=1.0),
        clip("x", True, phoneme_errors=3.0, phonemes=30, work_seconds=1.0, seconds=6.0),
        clip("y", False, phoneme_errors=10.0, phonemes=10, work_seconds=2.0),
    ]
    found = figures(clips)
    assert found["sentence_right"].value == pytest.approx(2 / 3)
    assert (found["sentence_right"].low, found["sentence_right"].high) == (0.0, 1.0)
    assert found["phoneme_error_rate"].value == pytest.approx(14 / 50)
    assert found["rtf"].value == pytest.approx(4.0 / 10.0)
    assert figures([clip("x", True)])["rtf"] is None


def test_report_and_table(tmp_path: Path) -> None:
    clips = [clip("x", True), clip("y", False, row="codec")]
    target = tmp_path / "r.json"
    write_json(target, report("quick", clip_rows(clips), seed=7))
    back = json.loads(target.read_text())
    assert back["settings"] == {"seed": 7}
    assert back["rows"]["ours"]["sentence_right"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert back["rows"]["codec"]["by_corpus"]["c"]["sentence_right"] == 0.0
    assert back["rows"]["ours"]["rtf"] is None and len(back["clips"]) == 2
    assert list(tmp_path.iterdir()) == [target]
    lines = table(clips).splitlines()
    assert len(lines) == 3 and "1.000 [1.000, 1.000]" in lines[1] and len(set(map(len, lines))) == 1


class Parrot:
    """Stands for a model: whatever it is to say, it gives back the prompt it was enrolled with."""

    sample_rate = 16_000

    def __init__(self) -> None:
        self.bundle, self.codec = self, self
        self.seeds: list[int] = []
        self.tries: list[int] = []

    def enroll(self, recording: tuple[Samples, int], attest: str) -> Samples:
        assert recording[1] == 16_000 and attest
        return recording[0]

    def speak(self, text: str, voice: Samples, seed: int, best_of: int = 1) -> argparse.Namespace:
        self.seeds.append(seed)
        self.tries.append(best_of)
        return argparse.Namespace(audio=voice, sample_rate=16_000)

    def encode(self, samples: Samples) -> Samples:
        return np.pad(samples, (0, 320))

    def decode(self, codes: Samples) -> Samples:
        return codes


class Deaf:
    """Stands for a listener that hears nothing: every phoneme is an error."""

    def __init__(self, bundle: object) -> None: ...

    def hear(self, samples: Samples) -> argparse.Namespace:
        return argparse.Namespace(guesses=[])


@pytest.mark.parametrize(("asked", "right"), [(SAYS, 1.0), (OTHER, 0.0)])
def test_all_three_rows(
    asked: str,
    right: float,
    chooser: SentenceChooser,
    judge: VoiceJudge,
    voice: Samples,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zero_shot, "Listener", Deaf)
    small = np.interp(np.arange(0, len(voice), 1.33), np.arange(len(voice)), voice)
    speakers = [
        Speaker("c/a", "c", voice, (Original(VOICE, SAYS),)),
        Speaker("c/b", "c", small.astype(np.float32), (Original(VOICE, OTHER),)),
    ]
    model, kept = Parrot(), {}
    clips = zero_shot.evaluate(
        model,  # type: ignore[arg-type]
        speakers,
        [asked, "This is very good news."],
        chooser,
        Protocol("short", 1, 40, quality=False),
        limit_speakers=1,
        seed=5,
        best_of=3,
        keep=kept.__setitem__,
    )
    rows = {clip.row: clip for clip in clips}
    assert list(rows) == ["originals", "codec", "ours"]
    assert [row.chosen == row.text for row in rows.values()] == [True, True, right == 1.0]
    assert rows["ours"].similarity == pytest.approx(1.0, abs=1e-4)
    assert all(row.nearest_is_own for row in rows.values())
    assert rows["codec"].seconds == rows["originals"].seconds  # padding is not judged
    assert all(row.phoneme_errors == row.phonemes > 0 for row in rows.values())
    assert rows["originals"].work_seconds is None and rows["ours"].work_seconds is not None
    assert (model.seeds[-1], model.tries[-1]) == (5, 3)
    assert sorted(kept) == ["codec/c_a-1", "ours/c_a-1", "prompts/c_a"]


def test_command_refuses_bad_limits(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="needs the extra eval")
    parser = argparse.ArgumentParser()
    evaluate_arguments(parser)
    with pytest.raises(UsageError, match="--sentences must be 1 to 4, not 5"):
        evaluate_command(parser.parse_args(["quick", "--sentences", "5"]))
    with pytest.raises(UsageError, match="--best-of must be .* 1, not 0"):
        evaluate_command(parser.parse_args(["quick", "--best-of", "0"]))
    with pytest.raises(UsageError, match="no-such-manifest.*--manifest"):
        evaluate_command(parser.parse_args(["quick", "--manifest", "no-such-manifest"]))


def test_loudest_part() -> None:
    samples = np.zeros(100, np.float32)
    samples[60:80] = 1.0
    assert loudest(samples, 20).tolist() == [1.0] * 20
    assert len(loudest(samples, 200)) == 100


def test_plot(tmp_path: Path, voice: Samples) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    from valle.evaluation.plot import save_plot, spectrogram

    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    levels = spectrogram(tone, 16_000)
    assert levels.shape == (513, 200) and levels.max() == 0.0 and levels.min() >= -70.0
    assert levels[:, 100].argmax() == 64  # 1000 Hz of 8000 in 512 steps
    words = [("Good", 0.1, 0.4), ("incomprehensibilities", 0.4, 0.5), ("morning", 0.5, 0.8)]
    save_plot(tmp_path / "p.png", voice[:16_000], 16_000, words, "A title")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    save_plot(tmp_path / "p.svg", voice[:16_000], 16_000, words)
    drawn = (tmp_path / "p.svg").read_text()
    assert "<!-- morning -->" in drawn and "<!-- A title -->" not in drawn
    with pytest.raises(UsageError, match=r"\.png"):
        save_plot(tmp_path / "p.wav", voice, 16_000)
    with pytest.raises(UsageError, match="no samples"):
        save_plot(tmp_path / "p.png", voice[:0], 16_000)


def test_what_an_evaluation_enrolls_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALLE_HOME", "mine")
    with pytest.raises(KeyError), home_apart():
        apart = data_folder()
        assert apart != Path("mine") and apart.is_dir()
        raise KeyError
    assert data_folder() == Path("mine") and not apart.exists()
    monkeypatch.delenv("VALLE_HOME")
    with home_apart():
        pass
    assert "VALLE_HOME" not in os.environ
