"""Verification of a recorded statement: the right words, the right voice, spoken just now.

Four questions, each with its own scores and limits. Were the statement and today's words spoken? Is
it the voice to be enrolled? Is it one recording that was not used before? Is it a person speaking?
All must be answered well. The receipt keeps the scores, so that a limit that turns out to be too
low can be applied later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Embedding, Samples
from valle.audio.fingerprint import Fingerprint, fingerprint_at_speeds, max_similarity
from valle.audio.recording import resample
from valle.bundle.bundle import Bundle
from valle.consent.as_norm import compute_as_norm
from valle.consent.challenge import Statement
from valle.consent.splicing import measure_background_jumps, measure_speaker_consistency
from valle.consent.text_verification import MIN_SCORE, TextScore, score_margin, score_text
from valle.consent.words import WORDS
from valle.detection.detector import BONA_FIDE, classify
from valle.runtime.recognizer import PhonemeRecognizer
from valle.runtime.speaker_encoder import SpeakerEncoder

# The limits. `valle evaluate consent` measures both kinds of error at each of them and at all other
# values. Limits that depend on a model must be chosen again for every new default bundle.

# Nats per phoneme. Of 120 held-out recordings, 1 in 100 scored below -3.1 for its own transcript
# and 1 in 20 above -3.4 for another's (first default bundle, phoneme error rate 0.59).
STATEMENT_LIMIT = -3.1
# The next three were chosen on 38 trials of each kind (11 held-out speakers, second default
# bundle). These are few, but 300 later trials agree (docs/SAFETY.md).

# Nats per phoneme, over the four words together. All target trials scored -4.6 and more, 9 in 10
# with wrong words less; the margin refuses the others.
PHRASE_LIMIT = -4.6
# Nats per phoneme. The lowest score of a correct word was -5.4.
WORD_LIMIT = -5.5
# Nats per phoneme. Target trials scored 0.75 and more, except for 1 in 20; wrong words 0.67 and
# less. A recognizer without a clear opinion (random weights) gives 0 and less, although it passes
# the three limits above for any text.
MARGIN_LIMIT = 0.7
# Standard deviations above the nearest impostors, see `compute_as_norm`. Of 300 impostors'
# statements, 3 pass all other checks and score 1, 1 scores 1.75, none 2. The limit refuses 2 in 100
# target trials (11 held-out speakers, docs/SAFETY.md).
AS_NORM_LIMIT = 2.0
# Cosine, for recordings that the cohort cannot normalize. Of pairs of LibriSpeech readers, 3 in
# 1,000 non-target trials reach it, and 3 in 4 target trials. It is strict because a refused owner
# can read again, and an accepted impostor gets a clone.
SPEAKER_COSINE_LIMIT = 0.85
# Cosine. Below it are 2 in 100 of 300 target trials, 97 in 100 of impostors, and 6 in 7 splices of
# two speakers: an attacker without a recording of the words for today has to speak them himself,
# after an old recording of the rest.
PHRASE_COSINE_LIMIT = 0.6
# Cosine. All 300 target trials score 0.38 and more, and so do 1 in 7 splices of two speakers.
CONSISTENCY_LIMIT = 0.35
# Cosine. Two recordings of one voice rarely score less in any spoken part. Without this limit, a
# few seconds of the speaker who consents, joined to the recording of the one to be cloned, would
# make the two recordings similar enough.
REFERENCE_COSINE_LIMIT = 0.3
# Decibels. Above 6.9 are 1 in 20 of 300 target trials; above 7.4 half of the splices of two
# speakers, and 1 in 5 of one speaker.
BACKGROUND_LEVEL_LIMIT = 7.0
# Decibels. Of 300 target trials it refuses 5 that no other limit refuses. It reduces the share
# accepted of splices of one speaker from 0.48 to 0.30, of two speakers from 0.06 to 0.003.
BACKGROUND_SHAPE_LIMIT = 4.0
# Share of bits. 3,160 pairs of different held-out recordings reached at most 0.591. The same
# recording as MP3, Vorbis, Opus (lowest rate), with noise at 5 dB, in a room, through valle's codec
# or 2 % faster always reached 0.648.
REPLAY_LIMIT = 0.63
# Probability that it is not bona fide (docs/decisions/0011-consent-refuses-resynthesized.md).
SPOOF_LIMIT = 0.8

NOT_RECOGNIZED = "the statement is not recognized in it, word for word"
OTHER_SPEAKER = "it is another voice than the recording's"
OTHER_PHRASE_VOICE = "the words for today do not sound enough like the recording's voice"
NOT_CHECKED = "nothing could check whether it is synthetic"

MAX_SECONDS = 60.0  # of a statement's recording; reading one takes about 20

_DECOYS = 24  # phrases that are compared with the right one
_DECOY_CONTEXT = 10  # frames (0.2 s) around the phrase in which they are scored
_PART_SECONDS = 2.0  # of a part of the reference: the shortest from which a voice is recognized
_SILENCE_BELOW_PEAK = 25.0  # dB below the loudest part: quieter parts have no speech


@dataclass(frozen=True)
class Condition:
    """One thing that must hold for a statement to be accepted."""

    fault: str
    """What is wrong if it does not hold."""
    score: float | None
    """What was measured; None if nothing was."""
    limit: float
    is_minimum: bool = True
    """Whether the score must reach the limit; otherwise it must not exceed it."""

    @property
    def holds(self) -> bool:
        """Whether it holds; NaN holds for nothing."""
        if self.score is None:
            return False
        return self.score >= self.limit if self.is_minimum else self.score <= self.limit


@dataclass(frozen=True)
class Scores:
    """What the verification measured."""

    statement: float
    """Nats per phoneme, see `score_text`; `phrase` and `words` too."""
    phrase: float
    words: dict[str, float]
    margin: float
    """By how much the phrase scores above the best of 24 decoys, nats per phoneme."""
    speaker_cosine: float
    """Cosine of the voices of the two recordings."""
    phrase_cosine: float
    """Cosine of the voice of the reference and that in which the phrase is spoken."""
    reference_cosine: float
    """Lowest cosine of the statement's voice and any spoken part of the reference, 2 s or more."""
    consistency: float
    """Lowest cosine between thirds of the statement's recording."""
    background_level: float
    """Largest jump of the background's level, dB."""
    background_shape: float
    """Largest jump of the background's spectral shape, dB."""
    replay: float
    """Highest fingerprint similarity to a statement that was used before; 0 if there is none."""
    spoof: float | None
    """Probability that it is synthetic or resynthesized; None: not checked."""
    as_norm: float | None
    """Normalized speaker score, see `compute_as_norm`; None where the cohort cannot give one, and
    then `speaker_cosine` decides."""

    def as_dict(self) -> dict[str, Any]:
        """Return rounded, JSON-compatible values for a receipt."""
        values: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                values[name] = {word: round(score, 3) for word, score in value.items()}
            else:
                values[name] = "not checked" if value is None else round(value, 3)
        return values

    def find_faults(self) -> list[str]:
        """Return why the recording is not accepted as consent; empty if it is."""
        return list(dict.fromkeys(c.fault for c in self.list_conditions() if not c.holds))

    def list_conditions(self) -> list[Condition]:
        """Return all that must hold for the recording to be accepted as consent."""
        weak = [f"{word!r}" for word, score in self.words.items() if not score >= WORD_LIMIT]
        if self.as_norm is None:
            same_speaker = Condition(OTHER_SPEAKER, self.speaker_cosine, SPEAKER_COSINE_LIMIT)
        else:
            same_speaker = Condition(OTHER_SPEAKER, self.as_norm, AS_NORM_LIMIT)
        spliced = "its background changes, as if it were spliced together"
        return [
            Condition(NOT_RECOGNIZED, self.statement, STATEMENT_LIMIT),
            Condition("the words for today are not recognized in it", self.phrase, PHRASE_LIMIT),
            Condition(
                f"of the words for today it lacks {', '.join(weak)}",
                min(self.words.values(), default=MIN_SCORE),
                WORD_LIMIT,
            ),
            Condition(
                "other words match it as well as the words for today", self.margin, MARGIN_LIMIT
            ),
            same_speaker,
            Condition(OTHER_PHRASE_VOICE, self.phrase_cosine, PHRASE_COSINE_LIMIT),
            Condition(
                "parts of the recording are in another voice",
                self.reference_cosine,
                REFERENCE_COSINE_LIMIT,
            ),
            Condition("its parts are not in one voice", self.consistency, CONSISTENCY_LIMIT),
            Condition(spliced, self.background_level, BACKGROUND_LEVEL_LIMIT, is_minimum=False),
            Condition(spliced, self.background_shape, BACKGROUND_SHAPE_LIMIT, is_minimum=False),
            Condition("it was used before", self.replay, REPLAY_LIMIT, is_minimum=False),
            # A model that did not look gives no reason to believe.
            Condition("it sounds synthetic", self.spoof, SPOOF_LIMIT, is_minimum=False)
            if self.spoof is not None
            else Condition(NOT_CHECKED, None, SPOOF_LIMIT, is_minimum=False),
        ]


@dataclass(frozen=True)
class ReferenceAnalysis:
    """What is measured of the recording of the voice to be enrolled."""

    voice: Embedding
    """[192], of unit length."""
    parts: NDArray[np.float32]
    """[P, 192], the embedding of each spoken part."""


@dataclass(frozen=True)
class StatementAnalysis:
    """What is measured of the recording of a statement, whatever its text should be."""

    samples: Samples
    """At the bundle's sample rate."""
    log_probs: NDArray[np.floating]
    """[frames, classes], from the recognizer's CTC head."""
    voice: Embedding
    consistency: float
    background_level: float
    background_shape: float
    at_speeds: tuple[Fingerprint, ...]
    spoof: float | None


def score(
    bundle: Bundle,
    reference: tuple[Samples, int],
    recorded: tuple[Samples, int],
    statement: Statement,
    earlier: Iterable[Fingerprint],
) -> Scores:
    """Measure a recording that should be a speaker's consent.

    Args:
        bundle: Its recognizer, speaker encoder, cohort and detector are used.
        reference: The recording of the voice to be enrolled, [N] mono, and its sample rate.
        recorded: The recording of the statement, likewise.
        statement: What should be spoken in it.
        earlier: Fingerprints of the statements used before.
    """
    reference_analysis = analyze_reference(bundle, *reference)
    statement_analysis = analyze_statement(bundle, *recorded)
    return compute_scores(bundle, reference_analysis, statement_analysis, statement, earlier)


def analyze_reference(bundle: Bundle, samples: Samples, sample_rate: int) -> ReferenceAnalysis:
    """Analyze a recording [N] mono of the voice to be enrolled."""
    rate, embed = bundle.config.sample_rate, SpeakerEncoder(bundle).embed
    resampled = resample(samples, sample_rate, rate)
    parts = np.array_split(resampled, max(1, int(len(resampled) / rate / _PART_SECONDS)))
    powers = np.array([np.mean(np.square(part, dtype=np.float64)) for part in parts])
    spoken = powers >= powers.max() * 10 ** (-_SILENCE_BELOW_PEAK / 10)
    voices = [embed(part) for part, is_spoken in zip(parts, spoken, strict=True) if is_spoken]
    return ReferenceAnalysis(embed(resampled), np.stack(voices))


def analyze_statement(bundle: Bundle, samples: Samples, sample_rate: int) -> StatementAnalysis:
    """Analyze a recording [N] mono of a statement."""
    rate, embed = bundle.config.sample_rate, SpeakerEncoder(bundle).embed
    resampled = resample(samples, sample_rate, rate)
    background_level, background_shape = measure_background_jumps(samples, sample_rate)
    return StatementAnalysis(
        samples=resampled,
        log_probs=PhonemeRecognizer(bundle).compute_posteriors(resampled).ctc,
        voice=embed(resampled),
        consistency=measure_speaker_consistency(resampled, rate, embed),
        background_level=background_level,
        background_shape=background_shape,
        at_speeds=tuple(fingerprint_at_speeds(samples, sample_rate)),
        spoof=compute_spoof_score(bundle, resampled),
    )


def compute_scores(
    bundle: Bundle,
    reference: ReferenceAnalysis,
    recording: StatementAnalysis,
    statement: Statement,
    earlier: Iterable[Fingerprint],
) -> Scores:
    """Compute what `score` returns, for recordings that were analyzed before."""
    classes, hop = bundle.config.listener_symbols, bundle.config.hop
    text_score = score_text(recording.log_probs, classes, statement.text)
    begin, end = _find_phrase_frames(text_score, statement, len(recording.log_probs))
    context = recording.log_probs[max(0, begin - _DECOY_CONTEXT) : end + _DECOY_CONTEXT]
    words = {span: text_score.words.get(span, MIN_SCORE) for span in statement.phrase}
    weights = [text_score.phoneme_counts.get(span, 1) for span in statement.phrase]
    phrase_voice = SpeakerEncoder(bundle).embed(recording.samples[begin * hop : end * hop])
    return Scores(
        statement=text_score.whole,
        phrase=float(np.average(list(words.values()), weights=weights)),
        words={statement.text[start:stop]: value for (start, stop), value in words.items()},
        margin=score_margin(context, classes, statement.phrase_text(), _make_decoys(statement)),
        speaker_cosine=float(reference.voice @ recording.voice),
        phrase_cosine=float(reference.voice @ phrase_voice),
        reference_cosine=float((reference.parts @ recording.voice).min()),
        consistency=recording.consistency,
        background_level=recording.background_level,
        background_shape=recording.background_shape,
        replay=max_similarity(recording.at_speeds, earlier),
        spoof=recording.spoof,
        as_norm=compute_as_norm(bundle, reference.voice, recording.voice),
    )


def compute_spoof_score(bundle: Bundle, samples: Samples) -> float | None:
    """Return the probability that `samples` (at the bundle's rate) are not bona fide speech.

    Resynthesized speech counts as spoofed: what valle's own model speaks comes out of the same
    codec, and a statement is to be read into a microphone. None if the bundle has no detector.
    """
    verdict = classify(bundle, samples, bundle.config.sample_rate)
    return None if verdict is None else 1.0 - verdict.whole[BONA_FIDE]


def _find_phrase_frames(score: TextScore, statement: Statement, frames: int) -> tuple[int, int]:
    """Return the first frame of the phrase and one past its last; all frames if it does not fit."""
    spans = [score.frames[span] for span in statement.phrase if span in score.frames]
    if not spans:
        return 0, frames
    return min(begin for begin, _ in spans), max(end for _, end in spans)


def _make_decoys(statement: Statement) -> list[str]:
    """Make other phrases from words that are not in the statement's; always the same ones."""
    phrase = {statement.text[start:end] for start, end in statement.phrase}
    words = [word for word in WORDS if word not in phrase]
    stride = len(words) // len(statement.phrase)
    return [
        statement.with_words(words[first::stride][: len(statement.phrase)]).phrase_text()
        for first in range(_DECOYS)
    ]
