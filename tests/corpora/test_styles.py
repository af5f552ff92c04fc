"""`valle prepare styles`: prosody features of stores, and the edges of the style bins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthetic_corpus import voiced_corpus, write_corpus
from valle.audio.prosody import compute_frame_features, normalize_by_speaker
from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora.store import Store
from valle.corpora.styles import count_phonemes, prepare_styles
from valle.errors import UsageError


def test_stores_share_bin_edges_and_speaker_normalization(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, seed in ((first, 0), (second, 1)):
        voiced_corpus(folder, seed)
    assert prepare_styles([first, second], workers=1, quiet=True) == 8
    store = Store(first)
    styles, other_styles = store.styles, Store(second).styles
    assert styles is not None
    assert other_styles is not None
    np.testing.assert_array_equal(styles[1], other_styles[1])
    assert [utterance.speaker for utterance in store.utterances] == ["a", "a", "b", "b"]
    for utterances in (store.utterances[:2], store.utterances[2:]):
        waveforms = [store.waveform(utterance) for utterance in utterances]
        features = [compute_frame_features(waveform, SAMPLE_RATE, HOP) for waveform in waveforms]
        stored = np.concatenate([styles[0][utterance.frames] for utterance in utterances])
        expected = normalize_by_speaker(np.concatenate(features))
        np.testing.assert_allclose(stored, expected, rtol=2e-3, atol=2e-3)
    assert not list(first.glob("*.tmp*"))
    # Writing new samples removes the features of the old ones.
    voiced_corpus(first, 2)
    assert Store(first).styles is None


def test_stores_that_cannot_be_measured_are_refused(tmp_path: Path) -> None:
    store = write_corpus(tmp_path, {"a": [60]}, words=4)
    (tmp_path / "labels.npz").unlink()
    with pytest.raises(UsageError, match="no labels"):
        prepare_styles([tmp_path], quiet=True)
    store.write_labels({})
    with pytest.raises(UsageError, match="too little"):
        prepare_styles([tmp_path], quiet=True)


def test_phonemes_are_counted_without_borders(tmp_path: Path) -> None:
    store = write_corpus(tmp_path, {"a": [150]})
    assert count_phonemes(store.labels["a/0"], 0, 150) == 48
    assert count_phonemes(store.labels["a/0"], 0, 1) == 0  # "^" alone
