"""`valle evaluate quick|default`: held-out speakers say new sentences, judges of others listen.

Three rows are judged alike: `originals`, the speakers' own recordings, the best that can be hoped
for; `codec`, the same through the codec and back, the best that our codes can carry; `ours`, new
sentences in the voice of a 3 s prompt. The originals' row also tells whether the judges work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.evaluation.material import QUICK, Original, Protocol, Speaker
from valle.evaluation.metrics.judges import JUDGE_RATE, SentenceChooser, VoiceJudge
from valle.evaluation.metrics.signals import QualityJudge
from valle.evaluation.report import Clip
from valle.runtime.check import phoneme_error_rate
from valle.runtime.recognizer import Listener
from valle.text.phonemes import to_sentences
from valle.text.symbols import BORDERS

if TYPE_CHECKING:
    from valle import Model, Voice

ATTESTATION = "These recordings were published for research, and this is an evaluation."


class Panel:
    """The judges, with the prompts of all held-out speakers before them."""

    def __init__(
        self, speakers: list[Speaker], chooser: SentenceChooser, quality: bool = False
    ) -> None:
        self._chooser = chooser
        self._quality = QualityJudge() if quality else None
        self._judge = VoiceJudge()
        self._names = [speaker.name for speaker in speakers]
        self._prompts = np.stack([self._judge.embed(speaker.prompt) for speaker in speakers])

    def judge(
        self,
        row: str,
        speaker: Speaker,
        text: str,
        choices: list[str],
        samples: Samples,
        phoneme_errors: tuple[float, int] | None = None,
        work_seconds: float | None = None,
    ) -> Clip:
        """Judge a clip (mono at 16 kHz) that should say `text`, which is one of the choices."""
        index = self._chooser.choose(samples, choices)
        similar = self._prompts @ self._judge.embed(samples)
        own = self._names.index(speaker.name)
        others = np.delete(similar, own)
        errors, phonemes = phoneme_errors or (None, 0)
        return Clip(
            row=row,
            speaker=speaker.name,
            corpus=speaker.corpus,
            text=text,
            chosen=None if index is None else choices[index],
            similarity=float(similar[own]),
            others=float(others.mean()) if len(others) else 0.0,
            nearest_is_own=bool((others < similar[own]).all()),
            quality=self._quality.overall(samples) if self._quality else None,
            phoneme_errors=errors,
            phonemes=phonemes,
            seconds=len(samples) / JUDGE_RATE,
            work_seconds=work_seconds,
        )


def evaluate(
    model: Model | None,
    speakers: list[Speaker],
    sentences: list[str],
    chooser: SentenceChooser,
    protocol: Protocol = QUICK,
    limit_speakers: int = 20,
    limit_sentences: int | None = None,
    seed: int = 0,
    best_of: int = 1,
    keep: Callable[[str, Samples], None] = lambda name, samples: None,
    quiet: bool = True,
) -> list[Clip]:
    """Make and judge all clips.

    Args:
        model: None judges the originals only.
        speakers: from `read_speakers`; every clip is compared with the prompts of all of them.
        sentences: from `draw_sentences`; the judge always chooses between all of them.
        chooser: the judge of sentences.
        protocol: how many sentences are said, and what is judged.
        limit_speakers: how many of the speakers to hear.
        limit_sentences: how many clips of each speaker in each row (default: the protocol's).
        seed: of the first clip; every further clip takes the next number.
        best_of: how often a sentence is said to keep the best, which our listener chooses: phoneme
            errors are then its own judgement of its own choice.
        keep: called with a name such as "ours/SPEAKER-2" and the samples (16 kHz) of every clip
            that was made, and of the prompts.
        quiet: no progress bar, not even on a terminal.
    """
    panel = Panel(speakers, chooser, protocol.quality)
    transcripts = [original.text for speaker in speakers for original in speaker.originals]
    heard = speakers[:limit_speakers]
    limit = protocol.per_speaker if limit_sentences is None else limit_sentences
    maker = None if model is None else _Maker(model, keep, best_of)
    clips: list[Clip] = []
    originals = sum(len(speaker.originals[:limit]) for speaker in heard)
    rounds = originals if model is None else 2 * originals + limit * len(heard)
    with tqdm(total=rounds, desc="evaluate", unit="clip", disable=quiet or None) as bar:
        for number, speaker in enumerate(heard):
            keep(f"prompts/{_plain(speaker.name)}", speaker.prompt)
            for turn, original in enumerate(speaker.originals[:limit]):
                index = transcripts.index(original.text)
                # The transcript itself and those that follow it in a ring.
                choices = (transcripts[index:] + transcripts[:index])[: protocol.choices]
                name = f"{_plain(speaker.name)}-{turn + 1}"
                clips += _judge_original(panel, maker, speaker, original, choices, name, bar)
            if maker is None:
                continue
            voice = maker.enroll(speaker)
            for turn in range(limit):
                place = number * protocol.per_speaker + turn
                text = sentences[place % len(sentences)]
                name = f"ours/{_plain(speaker.name)}-{turn + 1}"
                samples, work = maker.speak(text, voice, seed + place, name)
                errors = maker.phoneme_errors(samples, text)
                clips.append(panel.judge("ours", speaker, text, sentences, samples, errors, work))
                bar.update()
    return clips


def _judge_original(
    panel: Panel,
    maker: _Maker | None,
    speaker: Speaker,
    original: Original,
    choices: list[str],
    name: str,
    bar: Any,
) -> Iterator[Clip]:
    samples, text = original.samples(), original.text
    errors = maker.phoneme_errors(samples, text) if maker else None
    yield panel.judge("originals", speaker, text, choices, samples, errors)
    bar.update()
    if maker:
        coded, work = maker.through_codec(samples, f"codec/{name}")
        errors = maker.phoneme_errors(coded, text)
        yield panel.judge("codec", speaker, text, choices, coded, errors, work)
        bar.update()


class _Maker:
    """The model as this evaluation uses it: 16 kHz in and out, with the time that it took."""

    def __init__(self, model: Model, keep: Callable[[str, Samples], None], best_of: int) -> None:
        self._model = model
        self._best_of = best_of
        self._listener = Listener(model.bundle)
        self._keep = keep

    def enroll(self, speaker: Speaker) -> Voice:
        voice = self._model.enroll((speaker.prompt, JUDGE_RATE), attest=ATTESTATION)
        # The first sentence of a voice also pays for sessions and caches that later ones share.
        self._model.speak("Yes.", voice=voice, seed=0)
        return voice

    def speak(self, text: str, voice: Voice, seed: int, name: str) -> tuple[Samples, float]:
        start = time.perf_counter()
        speech = self._model.speak(text, voice=voice, seed=seed, best_of=self._best_of)
        work = time.perf_counter() - start
        samples = resample(speech.audio, speech.sample_rate, JUDGE_RATE)
        self._keep(name, samples)
        return samples, work

    def through_codec(self, samples: Samples, name: str) -> tuple[Samples, float]:
        codec = self._model.codec
        given = resample(samples, JUDGE_RATE, codec.sample_rate)
        start = time.perf_counter()
        coded = codec.decode(codec.encode(given))[: len(given)]
        work = time.perf_counter() - start
        coded = resample(coded, codec.sample_rate, JUDGE_RATE)
        self._keep(name, coded)
        return coded, work

    def phoneme_errors(self, samples: Samples, text: str) -> tuple[float, int]:
        given = resample(samples, JUDGE_RATE, self._model.codec.sample_rate)
        return phoneme_errors(self._listener, given, text)


def phoneme_errors(listener: Listener, samples: Samples, text: str) -> tuple[float, int]:
    """Edits between what our listener hears (at the bundle's rate) and the text's phonemes, and how
    many those are."""
    said, _ = to_sentences(text)
    asked = [p.symbol for sentence in said for p in sentence.phonemes]
    asked = [symbol for symbol in asked if symbol not in BORDERS]
    # Best guesses, not only what it is sure of: the usual phoneme error rate.
    heard = listener.hear(samples).guesses
    return phoneme_error_rate(asked, heard) * len(asked), len(asked)


def _plain(name: str) -> str:
    return name.replace("/", "_")
