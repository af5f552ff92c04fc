"""`Model`: enrolls voices, and speaks a text in a voice, whole or as a stream."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Embedding
from valle.audio.loudness import DEFAULT_LOUDNESS, measure_loudness
from valle.bundle.bundle import Bundle
from valle.consent.issuing import build_issuer, check_given, record_enrollment
from valle.consent.validity import check_usable
from valle.errors import UsageError
from valle.options import SpeakKeywords, SpeakOptions
from valle.runtime.codec import Codec
from valle.synthesis.pipeline import Pipeline, SpeechRequest
from valle.synthesis.sentence_cache import SentenceCache
from valle.synthesis.source_text import SourceText
from valle.synthesis.speech import Speech
from valle.text.reading import make_reading
from valle.text.segmentation import stream_sentences
from valle.voices import registry
from valle.voices.enrollment import Source, enroll
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from typing_extensions import Unpack

STREAM_RETRIES = 0  # the default of `Model.stream`: a sentence with retries cannot start early
UNNAMED = "unnamed"
# Ten voices of three corpora were spoken 2.1 LU below their recordings; standard deviation 1.6 LU.
_QUIETER_THAN_VOICE = 2.1


def load(source: str | Path | None = None, threads: int | None = None) -> Model:
    """Load a model.

    Args:
        source: A bundle's folder or `hf://owner/name`; None for the default bundle.
        threads: Upper bound of the processor threads that it uses; None for one per core.

    Raises:
        BundleError: There is no such bundle, or it cannot be used.
    """
    return Model(Bundle.load(source, threads))


def find_voice(voice: Voice | str | Path) -> Voice:
    """Return a voice by itself, by its name in the registry, or by its file.

    A string is a path if it names a folder, or if no voice has that name and there is such a file.

    Raises:
        UsageError: No voice has that name.
        RecordingError: The file is missing, damaged or not a voice file.
        ConsentError: The file was altered, or its receipt does not fit.
    """
    if isinstance(voice, Voice):
        return voice
    if isinstance(voice, Path) or os.path.dirname(voice):
        return Voice.load(voice)
    if voice not in registry.names() and os.path.isfile(voice):
        return Voice.load(voice)
    return registry.load(voice)


class Model:
    """A bundle that speaks. Safe to share between threads; graphs are loaded at first use."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.codec = Codec(bundle)
        self.sample_rate = bundle.config.sample_rate  # Hz
        self.frame_rate = bundle.config.sample_rate / bundle.config.hop  # frames per second
        self._pipeline = Pipeline(bundle, self.codec)

    def enroll(  # noqa: PLR0913 - public options
        self,
        recording: Source | NDArray[np.generic],
        name: str | None = None,
        ref_text: str | None = None,
        consent: str | Path | None = None,
        attest: str | None = None,
        challenge: str | None = None,
        speaker: str | None = None,
    ) -> Voice:
        """Enroll a voice from the best 10 s of a recording.

        The voice is returned and not stored: `Voice.save` writes it to a file, and
        `valle.voices.registry.add` stores it under its name. It is entered in the ledger with its
        receipt. One of `consent` and `attest` is required.

        Args:
            recording: A path, an open binary file, (samples, sample rate), or samples at this
                model's `sample_rate`. At least 1.5 s of speech are required, 3 s are good.
            name: The voice's name: letters and digits of any script, spaces and any of `_ . -`,
                at most 64 characters.
            ref_text: The transcript of the whole recording; None has it recognized.
            consent: A recording of the speaker reading the statement of `valle consent new`.
            attest: `"I hold the rights to this voice"`; no other words are accepted.
            challenge: The id of the statement that was read; None for the newest that is open for
                `speaker`.
            speaker: The speaker's name as the statement says it; None for `name`.

        Raises:
            ConsentError: Neither consent nor attestation was given, or the consent is not accepted.
            RecordingError: The recording cannot be used.
            TextError: `ref_text` has no words, or does not fit the recording.
            UsageError: The name is not allowed, or arguments exclude each other.
            OutputError: The ledger cannot be written.
        """
        check_given(attest, consent, challenge, speaker)
        speaker_name = name if speaker is None else speaker
        issue_receipt = build_issuer(
            self.bundle, speaker_name, attest, consent, challenge, voice=name
        )
        if isinstance(recording, np.ndarray):
            recording = (recording, self.sample_rate)
        voice_name = UNNAMED if name is None else name
        voice = enroll(self.bundle, recording, voice_name, ref_text, issue_receipt)
        record_enrollment(voice)
        self._pipeline.acoustic_model.prompt(voice)  # stores codes and embedding in the voice
        return voice

    def stream_gain(self, voice: Voice | str | Path, loudness: float = DEFAULT_LOUDNESS) -> float:
        """Return the gain that brings streamed speech in a voice to about a loudness.

        The loudness of a whole text is known only at its end. That of its voice is known before,
        and the model speaks about 2 LU below the voice's recording: multiply the samples of every
        piece by this. `Speech.save` measures the speech itself instead.

        Args:
            voice: See `stream`.
            loudness: In LUFS.

        Returns:
            A factor, 1 for a silent recording.

        Raises:
            UsageError: There is no such voice.
            RecordingError: The voice file cannot be used.
            ConsentError: The voice file was altered, or its receipt does not fit.
        """
        found = find_voice(voice)
        measured = measure_loudness(found.audio, found.sample_rate)
        if not math.isfinite(measured):
            return 1.0
        return float(10 ** ((loudness - measured + _QUIETER_THAN_VOICE) / 20))

    def use_cache(self, cache: SentenceCache | None = None) -> None:
        """Keep the codes of sentences on disk, and speak those that are there without the models.

        Args:
            cache: Where they are kept; None for the user's data folder.
        """
        self._pipeline.cache = SentenceCache() if cache is None else cache
        self._pipeline.cache.prune()

    def embedding(self, voice: Voice) -> Embedding:
        """Return the speaker embedding of a voice: [192], of unit length."""
        return self._pipeline.acoustic_model.embedding(voice)

    def speak(
        self,
        text: str | Iterable[str],
        voice: Voice | str | Path,
        **options: Unpack[SpeakKeywords],
    ) -> Speech:
        """Synthesize a text: the joined pieces of `stream` with the same options.

        The default of `retries` differs: 2 here, as in `SpeakOptions`. `Speech.options` has all
        options that were used; with them, the same voice and the same text, both methods give the
        same samples.

        Args:
            text: See `stream`.
            voice: See `stream`.
            options: Fields of `valle.options.SpeakOptions`.

        Raises:
            Error: What `stream` raises.
        """
        chosen = SpeakOptions.from_keywords(**options)
        return Speech.join(self.stream(text, voice, **chosen.as_keywords()))

    def stream(
        self,
        text: str | Iterable[str],
        voice: Voice | str | Path,
        **options: Unpack[SpeakKeywords],
    ) -> Iterator[Speech]:
        """Synthesize a text piece by piece, each as soon as it is complete.

        The default of `retries` is 0 here, so that the first piece comes before the end of its
        sentence. With retries or `best_of`, a sentence is checked before its first piece comes.

        Args:
            text: A whole text, or its parts as they come: a sentence starts once it is complete.
                `[[...]]` is IPA, spoken as given.
            voice: From `enroll`, or a voice's name in the registry or its file.
            options: Fields of `valle.options.SpeakOptions`. The same text, voice and options give
                the same samples.

        Returns:
            The pieces. Each text is entered in the ledger before it is spoken, and the receipt of
            the voice is checked before every sentence.

        Raises:
            UsageError: An option is unknown or out of range, or there is no such voice; while
                iterating, a sentence does not fit into the duration.
            TextError: The text has nothing to say.
            RecordingError: The voice file cannot be used.
            ConsentError: The voice may not be used.
            OutputError: The ledger cannot be written.
        """
        chosen = SpeakOptions.from_keywords(**{"retries": STREAM_RETRIES, **options})
        if chosen.duration is not None and not isinstance(text, str):
            raise UsageError("--duration needs the whole text at once, not parts of it")
        reading = make_reading(chosen.plain, chosen.lexicon)
        language = self.bundle.config.language
        voice = find_voice(voice)
        check_usable(voice, language=language)
        whole_text = text if isinstance(text, str) else None
        source = SourceText(text)
        segments = stream_sentences(source.read(), language, reading)
        count = None
        if whole_text is not None:  # a text without words is refused here, before iterating
            known = list(segments)
            segments, count = iter(known), sum(segment.sentence is not None for segment in known)
            if max(chosen.redo, default=0) > count:
                raise UsageError(
                    f"--redo {max(chosen.redo)}: the text has {count} sentences, counted from 1"
                )
        return self._pipeline.stream(
            SpeechRequest(segments, whole_text, source, count, voice, chosen)
        )
