"""How the listener is trained: at other speeds, and as sure as it is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from made_corpus import write_corpus  # noqa: E402
from valle.corpora.split import is_held  # noqa: E402
from valle.corpora.store import HOP, SAMPLE_RATE, Store  # noqa: E402
from valle.training.trainers import listener as train_listener  # noqa: E402
from valle.training.trainers.listener import ListenerJob, heard, played  # noqa: E402

SPEAKERS = [f"speaker {number}" for number in range(60)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("corpus")
    return write_corpus(folder, {name: [60] for name in SPEAKERS}, words=2)


def job_of(store: Store, folder: Path) -> ListenerJob:
    return ListenerJob([store], folder, "debug", "cpu", 0)


def test_some_speakers_are_kept_to_calibrate(corpus: Store, tmp_path: Path) -> None:
    job = job_of(corpus, tmp_path)
    held = {utterance.speaker for _, utterance, _, _ in job.held}
    learnt = {utterance.speaker for pool in job.pools for _, utterance, _, _ in pool}
    assert held == {name for name in SPEAKERS if is_held("listener", name, 25)} != set()
    assert held | learnt == set(SPEAKERS) and not held & learnt


def test_of_few_speakers_none_is_spared(tmp_path: Path) -> None:
    few = write_corpus(tmp_path / "few", {name: [60] for name in SPEAKERS[:30]}, words=2)
    assert any(is_held("listener", name, 25) for name in SPEAKERS[:30])
    job = job_of(few, tmp_path)
    assert not job.held and len(job.pools[0]) == 30
    assert "temperature" not in job.step(0, 0.0)


def test_who_is_too_sure_becomes_less_so(corpus: Store, tmp_path: Path) -> None:
    job = job_of(corpus, tmp_path)
    with torch.no_grad():
        job.listener.ctc.weight *= 10.0
    before = {name: value.clone() for name, value in job.listener.state_dict().items()}
    first, *_, last = [job.calibrate(0.3) for _ in range(200)]
    assert first["held_confidence"] > first["held_right"] + 0.3
    assert abs(last["held_confidence"] - last["held_right"]) < 0.2
    assert last["temperature"] > 2.0
    for name, value in job.listener.state_dict().items():  # nothing else has learnt
        assert torch.equal(value, before[name]) == (name != "log_temperature")
    assert "temperature" in job.step(0, 0.3) and "temperature" not in job.step(1, 0.3)


def test_labels_go_with_the_speed(corpus: Store, tmp_path: Path) -> None:
    job = job_of(corpus, tmp_path)
    example = job.held[0]
    symbols = example[2]
    lengths, targets = {}, {}
    for speed in (0.8, 1.0, 1.25):
        samples = played(example[0].waveform(example[1]), speed)
        frames = len(samples) // HOP
        # The loss of a head that is sure of a class is zero where that class is the label.
        seen = []
        for place in range(len(symbols)):
            wanted = int(train_listener.LISTENER_CLASS[symbols[place]])
            frame = torch.full((1, frames, len(train_listener.LISTENER_SYMBOLS)), -1.0)
            frame[..., wanted] = 0.0
            loss = job.frame_loss(frame, frame, [example], [samples], [speed], 0.0)
            seen.append(1.0 - float(loss))
        lengths[speed], targets[speed] = frames, np.array(seen)
    assert lengths == {0.8: 75, 1.0: 60, 1.25: 48}
    for speed in (0.8, 1.25):  # every class keeps its share of the frames
        np.testing.assert_allclose(targets[speed], targets[1.0], atol=0.06)


def test_played_faster_is_higher_and_shorter() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 400 * time).astype(np.float32)
    fast = played(tone, 1.25)
    assert len(fast) % HOP == 0 and abs(len(fast) - SAMPLE_RATE / 1.25) < HOP
    assert np.argmax(np.abs(np.fft.rfft(fast, SAMPLE_RATE))) == 500
    assert played(tone, 1.0) is tone


def test_what_is_heard_and_where_it_is_surest() -> None:
    probabilities = np.array(
        [[0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.2, 0.8, 0.0], [0.6, 0.2, 0.2], [0.1, 0.9, 0.0]]
    )
    frames, classes = heard(np.log(probabilities + 1e-9).astype(np.float32))
    assert frames.tolist() == [2, 4] and classes.tolist() == [1, 1]
    frames, classes = heard(np.log(np.array([[0.9, 0.1]], np.float32)))
    assert len(frames) == len(classes) == 0
