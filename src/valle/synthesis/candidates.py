"""Best-of-N and retries: sentences are generated several times, and the best candidate is kept.

Candidates of a sentence differ by the seed they are sampled with. The phoneme recognizer checks
each: a candidate passes when no word is missing or repeated. Generation stops once `best_of`
candidates have passed, or after `best_of + retries` of them. A sentence that is redone starts with
candidates that were not tried before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from valle.arrays import Codes, Ints, Samples
from valle.options import SpeakOptions
from valle.runtime.check import Check
from valle.runtime.recognizer import PhonemeRecognizer
from valle.synthesis.acoustic_model import AcousticModel, PendingUtterance, VoicePrompt
from valle.synthesis.assembler import StreamAssembler
from valle.synthesis.durations import trim_borders
from valle.synthesis.sentence_cache import CachedSentence, SentenceCache, cache_key
from valle.synthesis.speech import Speech
from valle.synthesis.utterance import Utterance
from valle.text.segmentation import Sentence

PARALLEL_CANDIDATES = 4  # candidates of a sentence that are started at once


@dataclass(frozen=True)
class _Candidate:
    check: Check
    pieces: list[Speech]
    assembler: StreamAssembler  # after these pieces
    blocks: list[tuple[Codes, Ints]]


@dataclass(frozen=True)
class StartedSentence:
    """A sentence whose first candidates were started, or which is in the cache."""

    utterance: Utterance
    candidates: list[PendingUtterance]
    cached: CachedSentence | None
    key: str
    """Under which it is kept in the cache."""


class CandidateSelector:
    """Generates the sentences of one text in one voice, each as many times as its options allow."""

    def __init__(
        self,
        acoustic_model: AcousticModel,
        recognizer: PhonemeRecognizer,
        prompt: VoicePrompt,
        options: SpeakOptions,
        cache: SentenceCache | None = None,
    ) -> None:
        self._acoustic_model = acoustic_model
        self._recognizer = recognizer
        self._prompt = prompt
        self._redo = tuple(options.redo)
        self._cache = cache
        # At temperature 0 nothing is random, and all candidates would be the same.
        self._best_of = options.best_of if options.temperature else 1
        self._max_candidates = self._best_of + (options.retries if options.temperature else 0)

    def start(self, utterance: Utterance) -> StartedSentence:
        """Start the first candidates of an utterance, which are generated in a batch."""
        first_attempt = self._redo.count(utterance.index + 1) * self._max_candidates
        utterance = replace(utterance, attempt=first_attempt)
        key = ""
        if self._cache is not None and utterance.opened is None:
            limits = self._best_of, self._max_candidates
            key = cache_key(utterance, self._acoustic_model.version, self._prompt.key, limits)
            if cached := self._cache.load(key):
                return StartedSentence(utterance, [], cached, key)
        attempts = range(first_attempt, first_attempt + min(self._best_of, PARALLEL_CANDIDATES))
        candidates = [
            self._acoustic_model.start(replace(utterance, attempt=attempt), self._prompt)
            for attempt in attempts
        ]
        return StartedSentence(utterance, candidates, None, key)

    def generate(
        self,
        started: StartedSentence,
        assembler: StreamAssembler,
        after_block: Callable[[], None],
    ) -> Generator[Speech, None, StreamAssembler]:
        """Generate an utterance.

        Args:
            started: The utterance as started by `start`.
            assembler: It gets the codes of the utterance.
            after_block: Called after every block of codes.

        Yields:
            Its pieces: each at once where there is a single candidate, else those of the best one
            after all were checked.

        Returns:
            The assembler that continues after the pieces.
        """
        if started.cached is not None:
            for codes, frame_symbol in trim_borders(started.cached.blocks, started.utterance):
                yield from assembler.feed(codes, frame_symbol)
                after_block()
            assembler.end(started.cached.check)
            return assembler
        if self._max_candidates > 1:
            best = self._select(self._assemble_all(started.candidates, assembler, after_block))
            self._store(started, best.blocks, best.check)
            yield from best.pieces
            return best.assembler
        (pending,) = started.candidates
        blocks: list[tuple[Codes, Ints]] = []
        for codes, frame_symbol in self._generate(pending, after_block, blocks):
            yield from assembler.feed(codes, frame_symbol)
        check = self._check(pending.utterance.sentence, assembler.peek_sentence())
        assembler.end(check)
        self._store(started, blocks, check)
        return assembler

    def _generate(
        self,
        pending: PendingUtterance,
        after_block: Callable[[], None],
        blocks: list[tuple[Codes, Ints]],
    ) -> Iterator[tuple[Codes, Ints]]:
        """Yield the blocks of an utterance with its ends trimmed; the whole ones go to `blocks`."""
        early = self._max_candidates == 1  # which is heard while it is made

        def record() -> Iterator[tuple[Codes, Ints]]:
            for block in self._acoustic_model.generate(pending, after_block, early):
                blocks.append(block)
                yield block

        return trim_borders(record(), pending.utterance)

    def _store(
        self, started: StartedSentence, blocks: list[tuple[Codes, Ints]], check: Check
    ) -> None:
        if self._cache is not None and started.key:
            self._cache.store(started.key, CachedSentence(blocks, check))

    def _assemble_all(
        self,
        candidates: list[PendingUtterance],
        assembler: StreamAssembler,
        after_block: Callable[[], None],
    ) -> Iterator[_Candidate]:
        """Generate the candidates, each with a copy of the assembler; later ones start here."""
        utterance = candidates[0].utterance
        for number in range(self._max_candidates):
            if number < len(candidates):
                pending = candidates[number]
            else:
                later = replace(utterance, attempt=utterance.attempt + number)
                pending = self._acoustic_model.start(later, self._prompt)
            branch = assembler.copy()
            pieces: list[Speech] = []
            blocks: list[tuple[Codes, Ints]] = []
            for codes, frame_symbol in self._generate(pending, after_block, blocks):
                pieces += branch.feed(codes, frame_symbol)
            check = self._check(utterance.sentence, branch.peek_sentence())
            branch.end(check)
            yield _Candidate(check, pieces, branch, blocks)

    def _select(self, candidates: Iterator[_Candidate]) -> _Candidate:
        """Return the best of the candidates, which are generated until `best_of` have passed."""
        generated, passed = [], 0
        for candidate in candidates:
            generated.append(candidate)
            passed += candidate.check.passed
            if passed == self._best_of:
                break
        if len(generated) == 1:
            return generated[0]
        return min(generated, key=self._rank)

    def _rank(self, candidate: _Candidate) -> tuple[float, float]:
        """Return a sort key, lower is better: wrong words first, then phonemes and similarity."""
        check = candidate.check
        samples = candidate.assembler.peek_sentence()
        similarity = self._acoustic_model.similarity(self._prompt, samples)
        return len(check.missing) + len(check.repeated), check.phoneme_error_rate - similarity

    def _check(self, sentence: Sentence, samples: Samples) -> Check:
        words = [sentence.words[p.word].text if p.word >= 0 else "" for p in sentence.phonemes]
        symbols = [phoneme.symbol for phoneme in sentence.phonemes]
        return self._recognizer.check(samples, symbols, words)
