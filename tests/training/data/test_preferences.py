"""Groups of candidates: their files, what of them is trained on, and how they are made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

from preference_groups import make_group
from valle.arrays import Samples
from valle.audio.recording import load_recording, resample
from valle.corpora.store import StoreWriter, UtteranceInfo
from valle.errors import UsageError
from valle.training.data import preference_generation
from valle.training.data.preference_generation import GenerationOptions, prepare_preferences
from valle.training.data.preferences import PreferenceGroup, read_preferences
from valle.training.data.word_scores import LOWEST, WordScorer

VOICE = Path(__file__).parents[3] / "examples" / "voice.wav"
TEXT = "The garden smells of mint and warm earth."


def test_files_keep_everything(tmp_path: Path) -> None:
    group = make_group()
    group.save(tmp_path / "0.npz")
    (loaded,) = read_preferences([tmp_path])
    for name, array in vars(group).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)


def test_frames_belong_to_the_word_before_a_pause() -> None:
    group = replace(
        make_group(),
        words=np.array([-1, 0, 0, -1, 1, -1]),
        frames=np.array([8, 3]),
        path=np.array([0, 1, 1, 2, 3, 4, 4, 5, 0, 0, 4]),
    )
    first, second = group.frame_words()
    assert first.tolist() == [-1, 0, 0, 0, 0, 1, 1, 1]
    assert second.tolist() == [-1, -1, 1]


def test_examples_continue_the_prompt() -> None:
    group = make_group()
    examples = group.examples()
    assert [len(example.target.codes) for example in examples] == group.frames.tolist()
    for example in examples:
        assert example.frames == example.prefix == len(group.prompt_codes)
        assert example.target.stop == len(group.symbols)
    np.testing.assert_array_equal(
        np.concatenate([example.target.codes for example in examples]), group.codes
    )


def test_a_folder_without_groups_and_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="valle prepare preferences"):
        read_preferences([tmp_path])
    make_group().save(tmp_path / "0.npz")
    whole = (tmp_path / "0.npz").read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        (tmp_path / "0.npz").write_bytes(damaged)
        with pytest.raises(UsageError, match=r"0\.npz is damaged"):
            read_preferences([tmp_path])


class LengthScorer:
    """Scores words without Whisper: by the amount of sound."""

    def __init__(self, teacher: Path) -> None:
        self.teacher = teacher

    def score(self, samples: Samples, text: str) -> np.ndarray:
        return np.full(len(text.split()), -len(samples) / 1e6, np.float32)


def write_recordings(folder: Path) -> Path:
    recording = load_recording(VOICE)
    writer = StoreWriter(folder)
    samples = resample(recording.samples, recording.sample_rate, 16_000)
    writer.add(UtteranceInfo("a/0", "test", "a", None, waveform_is_clean=True), samples)
    writer.close()
    return folder


def prepare(
    tmp_path: Path, groups: int, seed: int = 1, sentences: Sequence[str] = (TEXT,)
) -> list[PreferenceGroup]:
    (tmp_path / "sentences.txt").write_text("\n".join(sentences))
    recordings = write_recordings(tmp_path / "recordings")
    options = GenerationOptions(tmp_path, groups=groups, candidates=2, seed=seed, quiet=True)
    out = tmp_path / "preferences"
    count = prepare_preferences(recordings, tmp_path / "sentences.txt", out, options)
    loaded = read_preferences([out])
    assert len(loaded) == count
    return loaded


@pytest.mark.slow
def test_candidates_of_the_packaged_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference_generation, "WordScorer", LengthScorer)
    (group,) = prepare(tmp_path, 1)
    assert len(group.frames) == 2
    assert group.scores.shape == (2, 8)
    assert group.codes.shape == (group.frames.sum(), 8)
    assert set(group.words.tolist()) == {-1, *range(8)}
    np.testing.assert_allclose(group.scores[:, 0], -group.frames * 320 / 1e6, atol=1e-3)
    assert group.similarities.shape == (2,)
    assert (group.similarities > 0.5).all()
    first, second = (example.target.codes for example in group.examples())
    assert first.shape != second.shape or (first != second).any()
    written = (tmp_path / "preferences" / "0001-000000.npz").stat().st_mtime_ns
    again = prepare(tmp_path, 2)  # goes on: what is there is kept
    assert len(again) == 2
    assert (tmp_path / "preferences" / "0001-000000.npz").stat().st_mtime_ns == written


def test_text_without_plain_sentences(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no plain sentence"):
        prepare(tmp_path, 1, sentences=["Too short.", "In 1984, 12 of 30 were (mostly) right."])


def test_a_folder_that_is_no_teacher(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper", reason="needs the extra [eval]")
    with pytest.raises(UsageError, match=r"no model\.bin"):
        WordScorer(tmp_path)


def test_spoken_words_score_higher_than_others() -> None:
    folder = os.environ.get("VALLE_WHISPER")
    if not folder:
        pytest.skip("VALLE_WHISPER does not name the folder of a faster-whisper model")
    recording = load_recording(VOICE)
    samples = resample(recording.samples, recording.sample_rate, 16_000)
    spoken = "Good morning, the rain has stopped, and the garden smells of mint and warm earth."
    scores = WordScorer(Path(folder)).score(samples, spoken)
    assert scores.shape == (15,)
    assert scores.mean() > -0.5
    wrong = WordScorer(Path(folder)).score(samples, spoken.replace("garden", "engine"))
    assert wrong[8] < scores[8] - 2.0
    assert wrong.min() >= LOWEST


def test_sentences_are_shared_among_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process takes its own sentences, and together they take all, once."""
    spoken: list[tuple[int, int]] = []

    class Recorder:
        def __init__(self, *_arguments: object) -> None:
            pass

        def speak(self, samples: Samples, _text: str, number: int) -> PreferenceGroup:
            spoken.append((number, len(samples)))
            return make_group(number)

    monkeypatch.setattr(preference_generation, "_CandidateSpeaker", Recorder)
    monkeypatch.setattr(preference_generation, "WordScorer", LengthScorer)
    recordings = write_recordings(tmp_path / "recordings")
    options = GenerationOptions(tmp_path, groups=7, workers=3, quiet=True)
    out = tmp_path / "preferences"
    out.mkdir()
    for share in range(3):
        preference_generation._speak_share(recordings, [TEXT], out, options, share)
    assert sorted(number for number, _ in spoken) == list(range(7))
    assert len(read_preferences([out])) == 7
