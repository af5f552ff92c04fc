"""Sentences made together are those made alone, whoever joins and leaves, in one thread or many."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import valle
from valle.bundle.bundle import Bundle
from valle.bundle.writer import NewGraph, write_bundle
from valle.runtime import batching
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import Frame, Frames
from valle.runtime.kv_cache import PromptCache
from valle.runtime.pointer import stays
from valle.runtime.sampling import Pace, Sampling, sample
from valle.synthesis.model import Ahead

PRECISIONS = ("fp32", "int8", "int4")
COUNT = 8  # sentences


@pytest.fixture(scope="module", params=PRECISIONS)
def bundle(
    request: pytest.FixtureRequest, debug_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The debug bundle with its AR in this precision."""
    quantise = pytest.importorskip(
        "valle.training.export.quantization", reason="needs the extra [train]"
    )
    whole = Bundle.load(debug_bundle)
    proto = onnx.load_from_string(whole.read_graph("ar"))
    if request.param != "fp32":
        quantise.multiply_in_blocks(proto, int(request.param[-1]))
    graphs = {
        "ar": NewGraph(proto.SerializeToString(), request.param),
        "phonemes": NewGraph(whole.read_graph("phonemes")),
    }
    folder = tmp_path_factory.mktemp("batching") / "bundle"
    write_bundle(folder, whole.config, graphs)
    return Bundle.load(folder, threads=2)


class Speaker:
    """Says sentences of random symbols after prompts of unequal lengths."""

    def __init__(self, bundle: Bundle) -> None:
        self.decoder = ARDecoder(bundle)
        self.prompts = [self._prompt(number, frames) for number, frames in enumerate((0, 30, 75))]

    def _encoded(self, rng: np.random.Generator, symbols: int) -> NDArray[np.float32]:
        ids, stress = rng.integers(0, 40, symbols), rng.integers(0, 3, symbols)
        return self.decoder.encode(ids, stress, np.zeros(192, np.float32))

    def _prompt(self, number: int, frames: int) -> PromptCache:
        rng = np.random.default_rng(number)
        at = np.sort(rng.integers(0, 9, frames))
        codes = rng.integers(0, 1024, (frames, 8))
        return self.decoder.prompt(codes, self._encoded(rng, 9)[at], stays(at))

    def say(self, number: int) -> Frames:
        rng = np.random.default_rng(100 + number)
        symbols = int(rng.integers(4, 20))
        encoded = self._encoded(rng, symbols)
        return self.decoder.generate(
            self.prompts[number % len(self.prompts)],
            encoded,
            np.arange(symbols) % 4 == 0,
            Sampling(temperature=[0.0, 0.8, 1.0][number % 3]),
            rng,
            Pace(40 + 10 * number, np.ones(symbols)) if number % 2 else None,
            self._encoded(rng, symbols) if number % 4 == 2 else None,
        )


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> dict[np.random.Generator, str]:
    """Of each sentence a hash of all the logits that its codes are drawn from."""
    found: dict[np.random.Generator, str] = {}

    def noted(row: NDArray[np.float32], sampling: Sampling, rng: np.random.Generator, recent):  # type: ignore[no-untyped-def]
        before = found.get(rng, "").encode()
        found[rng] = hashlib.sha256(before + row.tobytes()).hexdigest()
        return sample(row, sampling, rng, recent)

    monkeypatch.setattr(batching, "sample", noted)
    return found


def alone(bundle: Bundle) -> list[list[Frame]]:
    return [list(Speaker(bundle).say(number)) for number in range(COUNT)]


def test_together_is_alone_to_the_last_bit(
    bundle: Bundle, digests: dict[np.random.Generator, str]
) -> None:
    wanted = alone(bundle)
    before = set(digests.values())
    digests.clear()
    speaker = Speaker(bundle)
    found: dict[int, list[Frame]] = {number: [] for number in range(COUNT)}
    going: dict[int, Iterator[Frame]] = {}
    turn = joined = 0
    while joined < COUNT or going:
        if joined < COUNT and turn % 17 == 0:  # another joins in the midst of the others
            going[joined] = speaker.say(joined)
            joined += 1
        for number in list(going):
            frame = next(going[number], None)
            if frame is None:
                del going[number]
            else:
                found[number].append(frame)
        turn += 1
    assert [found[number] for number in range(COUNT)] == wanted
    assert set(digests.values()) == before and len(before) == COUNT
    assert max(len(frames) for frames in wanted) > 100  # some were long, some short
    assert min(len(frames) for frames in wanted) < 60


def test_many_threads_are_one(bundle: Bundle) -> None:
    wanted, speaker = alone(bundle), Speaker(bundle)
    found: dict[int, list[Frame]] = {}
    gate = threading.Barrier(COUNT)

    def work(number: int) -> None:
        gate.wait()
        found[number] = list(speaker.say(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[number] for number in range(COUNT)] == wanted


def test_more_sentences_than_there_is_room_for_wait(
    debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(debug_bundle, threads=1)
    wanted = alone(bundle)
    monkeypatch.setattr(batching, "MOST", 2)
    speaker = Speaker(bundle)
    frames = [speaker.say(number) for number in range(COUNT)]  # the first are made on the way
    assert [list(one) for one in frames] == wanted


def test_guidance_leads_away_from_the_plain(
    debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker = Speaker(Bundle.load(debug_bundle, threads=1))
    prompt, rng = speaker.prompts[1], np.random.default_rng(5)
    encoded, plain = (speaker._encoded(rng, 12) for _ in range(2))
    encoded, plain = 3.0 * encoded, 3.0 * plain  # so that they are told apart

    def said(asked: NDArray[np.float32], other: NDArray[np.float32] | None) -> list[Frame]:
        borders, chances = np.arange(12) % 4 == 0, np.random.default_rng(6)
        sampling = Sampling(temperature=0.8)
        frames = speaker.decoder.generate(prompt, asked, borders, sampling, chances, None, other)
        return list(frames)

    asked, usual = said(encoded, None), said(plain, None)
    assert said(encoded, encoded) == asked  # nothing to be led away from
    assert said(encoded, plain) not in (asked, usual)
    monkeypatch.setattr(batching, "GUIDANCE", 0.0)
    assert said(encoded, plain) == asked
    monkeypatch.setattr(batching, "GUIDANCE", -1.0)  # back to the plain
    assert said(encoded, plain) == usual
    assert not speaker.decoder._batch._sayings  # both have left


def test_a_sentence_given_up_makes_room(
    debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(debug_bundle, threads=1)
    wanted = alone(bundle)
    monkeypatch.setattr(batching, "MOST", 2)
    speaker = Speaker(bundle)
    batch = speaker.decoder._batch
    dropped, kept = speaker.say(0), speaker.say(1)
    assert next(dropped) == wanted[0][0] and next(kept) == wanted[1][0]
    del dropped
    gc.collect()
    steps = []
    monkeypatch.setattr(batch, "_step", lambda step=batch._step: (steps.append(1), step()))
    other = speaker.say(3)  # in its place, and nobody had to go on for it
    assert not steps
    assert [wanted[1][0], *kept] == wanted[1] and list(other) == wanted[3]
    guided = speaker.say(2)
    assert next(guided) == wanted[2][0] and len(batch._sayings) == 2
    del guided
    gc.collect()
    batch._leave()
    assert not batch._sayings  # with what it was led away from


def test_a_text_is_what_its_sentences_are_one_by_one(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "The house is green. It rains. Who would have thought so? Amen. Now then. Go."
    together = {redo: model.speak(text, voice, seed=5, redo=redo) for redo in (0, 1)}
    monkeypatch.setattr("valle.synthesis.model.AHEAD", 0)
    for redo, speech in together.items():
        apart = model.speak(text, voice, seed=5, redo=redo)
        np.testing.assert_array_equal(speech.codes, apart.codes)
        np.testing.assert_array_equal(speech.audio, apart.audio)
        assert speech.phonemes == apart.phonemes and speech.check == apart.check


def test_nothing_is_begun_before_the_first_block_is_out(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    begin = model._sayer._ar.generate
    monkeypatch.setattr(
        model._sayer._ar, "generate", lambda *rest: (begun.append(len(begun)), begin(*rest))[1]
    )
    text = "The house is green, and it is a very old house, they say. It rains. Amen. Go. No."
    stream = model.stream(text, voice)
    next(stream)
    assert begun == [0]
    next(stream)
    assert begun == [0, 1, 2, 3]


def test_items_are_begun_ahead_and_come_in_order() -> None:
    begun: list[int] = []
    ahead = Ahead(range(5), lambda item: begun.append(item) or -item, 2)
    assert next(ahead) == (0, 0) and begun == [0]
    ahead.go_on()
    ahead.go_on()
    assert begun == [0, 1, 2]
    assert next(ahead) == (1, -1)
    ahead.go_on()
    assert begun == [0, 1, 2, 3]
    assert list(ahead) == [(2, -2), (3, -3), (4, -4)]
    ahead.go_on()
    assert begun == [0, 1, 2, 3, 4]
    none = Ahead(range(2), lambda item: item, 0)
    none.go_on()
    assert list(none) == [(0, 0), (1, 1)]
