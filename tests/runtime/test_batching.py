"""A sentence in a batch equals one alone, whatever joins and leaves, from one thread or several."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import pytest

from valle.arrays import Floats
from valle.bundle.bundle import Bundle
from valle.bundle.writer import NewGraph, write_bundle
from valle.runtime import batching
from valle.runtime.ar import ARDecoder
from valle.runtime.batching import EncodedText, Frame, FrameStream
from valle.runtime.kv_cache import PromptCache
from valle.runtime.pointer import count_frames_on_symbol
from valle.runtime.sampling import DurationController, Sampling, sample

PRECISIONS = ("fp32", "int8", "int4")
COUNT = 8  # sentences


@pytest.fixture(scope="module", params=PRECISIONS)
def bundle(
    request: pytest.FixtureRequest, debug_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The debug bundle with its AR model in this precision."""
    quantization = pytest.importorskip(
        "valle.training.export.quantization", reason="needs the extra [train]"
    )
    source = Bundle.load(debug_bundle)
    proto = onnx.load_from_string(source.read_graph("ar"))
    if request.param != "fp32":
        quantization.quantize_blockwise(proto, int(request.param[-1]))
    graphs = {
        "ar": NewGraph(proto.SerializeToString(), request.param),
        "phonemes": NewGraph(source.read_graph("phonemes")),
    }
    folder = tmp_path_factory.mktemp("batching") / "bundle"
    write_bundle(folder, source.config, graphs)
    return Bundle.load(folder, threads=2)


class SentenceGenerator:
    """Generates sentences of random symbols, after prompts of different lengths."""

    def __init__(self, bundle: Bundle) -> None:
        self.decoder = ARDecoder(bundle)
        self.prompts = [self._prompt(seed, frames) for seed, frames in enumerate((0, 30, 75))]

    def encode(self, rng: np.random.Generator, symbols: int) -> Floats:
        ids, stress = rng.integers(0, 40, symbols), rng.integers(0, 3, symbols)
        return self.decoder.encode(ids, stress, np.zeros(192, np.float32))

    def _prompt(self, seed: int, frames: int) -> PromptCache:
        rng = np.random.default_rng(seed)
        frame_symbol = np.sort(rng.integers(0, 9, frames))
        codes = rng.integers(0, 1024, (frames, 8))
        encoded = self.encode(rng, 9)[frame_symbol]
        return self.decoder.prefill(codes, encoded, count_frames_on_symbol(frame_symbol))

    def start(self, number: int) -> FrameStream:
        """Start a sentence; every second one has a target duration, every fourth is guided."""
        rng = np.random.default_rng(100 + number)
        symbols = int(rng.integers(4, 20))
        encoded = self.encode(rng, symbols)
        duration = DurationController(40 + 10 * number, np.ones(symbols)) if number % 2 else None
        unconditional = self.encode(rng, symbols) if number % 4 == 2 else None
        return self.decoder.generate(
            self.prompts[number % len(self.prompts)],
            EncodedText(encoded, np.arange(symbols) % 4 == 0, unconditional),
            Sampling(temperature=[0.0, 0.8, 1.0][number % 3]),
            rng,
            duration,
        )


@pytest.fixture
def logits_hashes(monkeypatch: pytest.MonkeyPatch) -> dict[np.random.Generator, str]:
    """A hash of all logits that the codes of each sentence are sampled from."""
    hashes: dict[np.random.Generator, str] = {}

    def hash_and_sample(
        logits: Floats, sampling: Sampling, rng: np.random.Generator, previous: Sequence[int]
    ) -> int:
        before = hashes.get(rng, "").encode()
        hashes[rng] = hashlib.sha256(before + logits.tobytes()).hexdigest()
        return sample(logits, sampling, rng, previous)

    monkeypatch.setattr(batching, "sample", hash_and_sample)
    return hashes


def generate_alone(bundle: Bundle) -> list[list[Frame]]:
    """Generate every sentence without any other in the batch."""
    return [list(SentenceGenerator(bundle).start(number)) for number in range(COUNT)]


def test_batched_sentences_equal_sentences_alone_bit_for_bit(
    bundle: Bundle, logits_hashes: dict[np.random.Generator, str]
) -> None:
    expected = generate_alone(bundle)
    hashes_alone = set(logits_hashes.values())
    logits_hashes.clear()
    generator = SentenceGenerator(bundle)
    frames: dict[int, list[Frame]] = {number: [] for number in range(COUNT)}
    streams: dict[int, Iterator[Frame]] = {}
    turn = joined = 0
    while joined < COUNT or streams:
        if joined < COUNT and turn % 17 == 0:  # another joins while the others are under way
            streams[joined] = generator.start(joined)
            joined += 1
        for number in list(streams):
            frame = next(streams[number], None)
            if frame is None:
                del streams[number]
            else:
                frames[number].append(frame)
        turn += 1
    assert [frames[number] for number in range(COUNT)] == expected
    assert len(hashes_alone) == COUNT
    assert set(logits_hashes.values()) == hashes_alone
    lengths = [len(sentence) for sentence in expected]
    assert max(lengths) > 100  # the sentences are of very different lengths
    assert min(lengths) < 60


def test_sentences_of_several_threads_equal_sentences_alone(bundle: Bundle) -> None:
    expected, generator = generate_alone(bundle), SentenceGenerator(bundle)
    frames: dict[int, list[Frame]] = {}
    barrier = threading.Barrier(COUNT)

    def generate(number: int) -> None:
        barrier.wait()
        frames[number] = list(generator.start(number))

    threads = [threading.Thread(target=generate, args=(number,)) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [frames[number] for number in range(COUNT)] == expected


def test_sentences_wait_while_the_batch_is_full(
    debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(debug_bundle, threads=1)
    expected = generate_alone(bundle)
    monkeypatch.setattr(batching, "MAX_BATCH", 2)
    generator = SentenceGenerator(bundle)
    # Starting the later ones runs the steps of the first ones.
    streams = [generator.start(number) for number in range(COUNT)]
    assert [list(stream) for stream in streams] == expected


def test_guidance_extrapolates_away_from_the_unconditional_logits(
    debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = SentenceGenerator(Bundle.load(debug_bundle, threads=1))
    prompt, rng = generator.prompts[1], np.random.default_rng(5)
    # Scaled up, so that the two clearly differ.
    conditional, unconditional = (3.0 * generator.encode(rng, 12) for _ in range(2))

    def generate(encoded: Floats, guided_away_from: Floats | None) -> list[Frame]:
        text = EncodedText(encoded, np.arange(12) % 4 == 0, guided_away_from)
        sampling, rng = Sampling(temperature=0.8), np.random.default_rng(6)
        return list(generator.decoder.generate(prompt, text, sampling, rng))

    unguided, plain = generate(conditional, None), generate(unconditional, None)
    assert generate(conditional, conditional) == unguided  # the difference is zero
    assert generate(conditional, unconditional) not in (unguided, plain)
    batch = generator.decoder._batch
    monkeypatch.setattr(batch, "_guidance_scale", np.float32(0.0))
    assert generate(conditional, unconditional) == unguided
    monkeypatch.setattr(
        batch, "_guidance_scale", np.float32(-1.0)
    )  # all the way to the unconditional
    assert generate(conditional, unconditional) == plain
    assert not generator.decoder._batch._requests  # both requests have left


def test_dropping_a_stream_frees_its_place(
    debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(debug_bundle, threads=1)
    expected = generate_alone(bundle)
    monkeypatch.setattr(batching, "MAX_BATCH", 2)
    generator = SentenceGenerator(bundle)
    batch = generator.decoder._batch
    dropped, continued = generator.start(0), generator.start(1)
    assert next(dropped) == expected[0][0]
    assert next(continued) == expected[1][0]
    del dropped
    gc.collect()
    run_step = mock.Mock(wraps=batch._step)
    monkeypatch.setattr(batch, "_step", run_step)
    replacement = generator.start(3)
    assert not run_step.called  # there was room at once
    assert [expected[1][0], *continued] == expected[1]
    assert list(replacement) == expected[3]
    guided = generator.start(2)
    assert next(guided) == expected[2][0]
    assert len(batch._requests) == 2
    del guided
    gc.collect()
    batch._remove_finished()
    assert not batch._requests  # the unconditional request left with it
