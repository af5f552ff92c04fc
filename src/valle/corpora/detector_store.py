"""`valle prepare detector`: training material for the detector of synthetic speech.

Bona fide, resynthesized and synthetic speech, all through the same random channels. The `corpus` of
an utterance is its class and source, such as "CLASS/GENERATOR", where the class is one of
`valle.detection.detector.KINDS`. Half of each class carries the watermark, so that the detector
does not learn the watermark instead of the speech.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio_format import SAMPLE_RATE
from valle.bundle.bundle import Bundle
from valle.corpora.channel import random_channel, simulate_recording
from valle.corpora.self_synthesized import CORPUS as SELF_CORPUS
from valle.corpora.self_synthesized import GENERATOR
from valle.corpora.store import Store, StoreOptions, StoreWriter, Utterance, UtteranceInfo
from valle.corpora.vocoders import Vocoder, available_vocoders
from valle.detection.detector import BONA_FIDE, RESYNTHESIZED, SYNTHETIC
from valle.errors import UsageError
from valle.runtime.codec import Codec
from valle.runtime.codec_decoder import decode_unmarked
from valle.watermark.embed import Payload, embed_watermark

SECONDS = 4.0  # of a segment, at most
_MIN_SECONDS = 1.5
# Minutes of each source per minute of bona fide speech; every synthetic corpus has its own share.
_RESYNTHESIS_SHARES = {8: 0.25, 4: 0.25}  # by codebooks kept
_VOCODER_SHARE = 0.15  # of each vocoder
_SELF_SHARE, _OTHER_SHARE = 0.5, 0.12
_WATERMARK_PROB = 0.5

_Clip = tuple[Store, Utterance]


@dataclass(frozen=True)
class _Part:
    """One source of material: where its clips come from, what is done to them, how much of it."""

    corpus: str
    clips: list[_Clip]
    minutes: float
    codec: Codec | None = None  # resynthesized by it,
    codebooks: int | None = None  # with this many codebooks
    vocoder: Vocoder | None = None  # or by this

    @property
    def is_bona_fide(self) -> bool:
        return self.corpus == BONA_FIDE


def prepare_detector(
    stores: Sequence[Store], out: Path, bundles: Sequence[Bundle], options: StoreOptions
) -> int:
    """Write the detector's training material as a store.

    Args:
        stores: corpora of recordings and of synthetic speech (`valle prepare synthetic`, `self`,
            and `recordings` of other programs).
        out: the folder of the new store.
        bundles: whose codecs resynthesize: each of them a share.
        options: minutes of bona fide speech, of which the other classes get their shares; the
            seed samples segments and channels.

    Returns:
        How many segments were written.

    Raises:
        UsageError: the stores lack recordings or synthetic speech.
    """
    rng = np.random.default_rng(options.seed)
    writer, count = StoreWriter(out), 0
    bar = tqdm(desc="detector", unit="segment", disable=options.quiet or None)
    for part in _plan_parts(stores, list(map(Codec, bundles)), options.minutes):
        for source, samples in _sample_segments(part.clips, 60.0 * part.minutes, rng):
            if part.codec is not None and part.codebooks is not None:
                samples = resynthesize(part.codec, samples, part.codebooks)
            elif part.vocoder is not None:
                samples = part.vocoder(samples, rng)
            # Half of the bundle's own speech already has the watermark.
            if part.corpus != f"{SYNTHETIC}/{GENERATOR}" and rng.random() < _WATERMARK_PROB:
                samples = embed_watermark(samples, SAMPLE_RATE, None, Payload(0, 0))
            # Recordings were already compressed when they were collected.
            samples = samples if part.is_bona_fide else simulate_recording(samples, rng)
            writer.add(
                UtteranceInfo(
                    f"{part.corpus}/{count}",
                    f"{BONA_FIDE}/{source.corpus}" if part.is_bona_fide else part.corpus,
                    source.speaker,
                    None,
                    waveform_is_clean=False,
                    is_synthetic=part.corpus.startswith(f"{SYNTHETIC}/"),
                    license=source.license,
                ),
                random_channel(samples, rng),
            )
            count += 1
            bar.update()
    bar.close()
    writer.close()
    return count


def _plan_parts(stores: Sequence[Store], codecs: Sequence[Codec], minutes: float) -> list[_Part]:
    """Divide the clips of the stores into the parts of the material."""
    recordings: list[_Clip] = []
    synthetic: dict[str, list[_Clip]] = {}
    for store in stores:
        for utterance in store.utterances:
            if utterance.samples >= _MIN_SECONDS * SAMPLE_RATE:
                if utterance.is_synthetic:
                    synthetic.setdefault(utterance.corpus, []).append((store, utterance))
                else:
                    recordings.append((store, utterance))
    if not recordings or not synthetic:
        missing = "recordings" if not recordings else "synthetic speech"
        raise UsageError(f"--data has no {missing}, and the detector needs both kinds")
    parts = [_Part(BONA_FIDE, recordings, minutes)]
    for codebooks, share in _RESYNTHESIS_SHARES.items():
        corpus = f"{RESYNTHESIZED}/{codebooks}"
        for codec in codecs:
            length = minutes * share / len(codecs)
            parts.append(_Part(corpus, recordings, length, codec, codebooks))
    for name, vocoder in available_vocoders().items():
        corpus = f"{SYNTHETIC}/{name}"
        parts.append(_Part(corpus, recordings, minutes * _VOCODER_SHARE, vocoder=vocoder))
    for name, clips in synthetic.items():
        share = _SELF_SHARE if name == SELF_CORPUS else _OTHER_SHARE
        corpus = f"{SYNTHETIC}/{name.removeprefix('synthetic-')}"
        parts.append(_Part(corpus, clips, minutes * share))
    return parts


def resynthesize(codec: Codec, samples: Samples, codebooks: int) -> Samples:
    """Encode and decode `samples` [N] at 16 kHz with the first codebooks of a codec; [N]."""
    codes = codec.encode(samples)
    codes[:, codebooks:] = codec.codebook_size  # "no code here"
    return decode_unmarked(codec, codes)[: len(samples)]


def _sample_segments(
    clips: list[_Clip], seconds: float, rng: np.random.Generator
) -> Iterator[tuple[Utterance, Samples]]:
    """Sample segments of at most `seconds` in total, without replacement.

    Corpora take turns, and within each a random speaker.

    Yields:
        The utterance, and the samples of a part of it.
    """
    speakers_by_corpus: dict[str, dict[str, list[_Clip]]] = {}
    for store, utterance in clips:
        speakers = speakers_by_corpus.setdefault(utterance.corpus, {})
        speakers.setdefault(utterance.speaker, []).append((store, utterance))
    remaining = [[list(group) for group in s.values()] for s in speakers_by_corpus.values()]
    longest = round(SECONDS * SAMPLE_RATE)
    while remaining and seconds > 0:
        for corpus in list(remaining):
            if not corpus:
                remaining.remove(corpus)
                continue
            index = int(rng.integers(len(corpus)))
            group = corpus[index]
            store, utterance = group.pop(int(rng.integers(len(group))))
            if not group:
                corpus.pop(index)
            start = int(rng.integers(max(1, utterance.samples - longest + 1)))
            segment = store.waveform(utterance)[start : start + longest]
            seconds -= len(segment) / SAMPLE_RATE
            yield utterance, segment
            if seconds <= 0:
                return
