"""Held-out speakers and new sentences, selected by rule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recordings import syllables, write_audio_file
from valle.corpora.split import is_evaluation_sentence, plain_words
from valle.errors import RecordingError, UsageError
from valle.evaluation.evaluator import Metrics
from valle.evaluation.material import (
    HeldoutUtterance,
    loudest,
    make_speaker,
    read_manifests,
    read_row,
    read_speakers,
    select_sentences,
)
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.protocols import zero_shot


def test_sentences_of_training_texts_are_not_selected(tmp_path: Path) -> None:
    texts = [f"Number {a} comes after {b} here." for a in "abcdefghij" for b in "klmnopqrstuvw"]
    candidates = [text for text in texts if is_evaluation_sentence(text)]
    transcribed, contained, unseen = candidates[0], candidates[1], set(candidates[2:])
    around = next(
        text
        for i in range(100)
        if not is_evaluation_sentence(text := f"Well, {contained[:-1]} and on {i} times.")
    )
    sentences, manifest = tmp_path / "s.tsv", tmp_path / "m.jsonl"
    sentences.write_text("".join(f"src\t{text}\n" for text in [*texts, around]))
    row = {"audio": "a.wav", "speaker": "x", "text": f"Oh {transcribed}"}
    manifest.write_text(json.dumps(row | {"corpus": "c", "seconds": 2.0}) + "\n")
    assert set(select_sentences(sentences, [manifest], len(unseen))) == unseen
    assert set(select_sentences(sentences, [manifest], None)) == unseen
    with pytest.raises(UsageError, match="fit for evaluation"):
        select_sentences(sentences, [manifest], len(unseen) + 1)
    with pytest.raises(UsageError, match="fit for evaluation"):
        select_sentences(sentences, [manifest], None, is_known=lambda text: False)
    with pytest.raises(UsageError, match="--text"):
        select_sentences(tmp_path / "absent.tsv", [manifest], 1)


def test_selected_sentences_are_in_no_training_text(
    heldout_material: tuple[Path, Path, Path], identifier: SentenceIdentifier
) -> None:
    manifest, _, sentences = heldout_material
    selected = select_sentences(sentences, [manifest], 40, identifier.knows)
    assert len({" ".join(plain_words(text)) for text in selected}) == 40
    rows = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
    texts = [row["text"] or "" for row in rows]
    lines = sentences.read_text(encoding="utf-8").splitlines()
    texts += [t for t in (x.split("\t", 1)[1] for x in lines) if not is_evaluation_sentence(t)]
    training = {" ".join(plain_words(text)) for text in texts}
    for text in selected:
        assert is_evaluation_sentence(text)
        assert " ".join(plain_words(text)) not in training
        assert 5 <= len(plain_words(text)) <= 14
        assert identifier.knows(text)


def test_ground_truth_is_identified(
    heldout_material: tuple[Path, Path, Path],
    identifier: SentenceIdentifier,
    encoder: ResemblyzerEncoder,
) -> None:
    manifest, heldout, _ = heldout_material
    speakers = read_speakers([manifest], [heldout], identifier.knows)
    assert len(speakers) == 20
    assert {len(speaker.prompt) for speaker in speakers} == {48_000}
    native = [speaker for speaker in speakers if speaker.corpus.startswith("librispeech")]
    assert native[0] is speakers[0]  # a small run has both corpora
    settings = zero_shot.Settings(speakers=1, per_speaker=2)
    clips = zero_shot.run(None, zero_shot.EvaluationSet(native, []), Metrics(identifier), settings)
    assert [clip.identified for clip in clips] == [u.text for u in native[0].utterances[:2]]
    for clip in clips:
        assert clip.speaker_identified
        assert clip.similarity > clip.similarity_to_others + 0.15


def test_a_part_of_a_recording_is_read_alone(tmp_path: Path) -> None:
    samples = syllables(12.0)
    write_audio_file(tmp_path / "long.wav", samples)
    row = {"audio": "long.wav", "corpus": "c", "speaker": "x", "text": "Ah.", "seconds": 4.0}
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps(row | {"start": 5.0}) + "\n" + json.dumps(row) + "\n")
    part, whole = read_manifests([manifest])
    np.testing.assert_allclose(read_row(part), samples[80_000:144_000], atol=1e-4)
    np.testing.assert_array_equal(HeldoutUtterance.from_row(part).samples(), read_row(part))
    np.testing.assert_allclose(read_row(whole), samples, atol=1e-4)
    assert make_speaker("x", part, []).prompt.tobytes() in read_row(part).tobytes()
    with pytest.raises(RecordingError, match="ends before 12 s"):
        read_row(part | {"start": 12.0})


def test_the_loudest_window_is_chosen() -> None:
    samples = np.zeros(100, np.float32)
    samples[60:80] = 1.0
    assert loudest(samples, 20).tolist() == [1.0] * 20
    assert len(loudest(samples, 200)) == 100
