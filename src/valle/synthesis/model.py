"""`Model`: enrolls voices, and speaks a text in a voice, whole or as a stream."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Embedding
from valle.audio.loudness import DEFAULT_LOUDNESS, measure_loudness
from valle.audio.whole_recording import read_mono
from valle.bundle.adapter import Adapter
from valle.bundle.bundle import Bundle
from valle.consent.issuing import GivenConsent, build_issuer, record_enrollment
from valle.consent.training_consent import check_training_receipts
from valle.errors import TextError, UsageError
from valle.options import SpeakKeywords, SpeakOptions
from valle.runtime.codec import Codec
from valle.runtime.transcript import TimedTranscript, align_transcript
from valle.synthesis.cast import VoiceFinder
from valle.synthesis.durations import NaturalLength
from valle.synthesis.pipeline import Pipeline
from valle.synthesis.request import SpeechRequest
from valle.synthesis.sentence_cache import SentenceCache
from valle.synthesis.source_text import SourceText
from valle.synthesis.speech import Speech
from valle.synthesis.timing import split_phrases
from valle.text.delivery import DirectedText
from valle.text.live import LiveReader
from valle.text.notations import parse_text
from valle.text.passages import Segment, read_passages
from valle.text.reading import make_reading
from valle.voices import registry
from valle.voices.enrollment import Source, enroll
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from typing_extensions import Unpack

STREAM_RETRIES = 0  # the default of `Model.stream`: a sentence with retries cannot start early
UNNAMED = "unnamed"
# Ten voices of three corpora were spoken 2.1 LU below their recordings; standard deviation 1.6 LU.
_QUIETER_THAN_VOICE = 2.1


def load(
    source: str | Path | None = None,
    threads: int | None = None,
    adapter: str | Path | None = None,
) -> Model:
    """Load a model.

    Args:
        source: A bundle's folder or `hf://owner/name`; None for the default bundle.
        threads: Upper bound of the processor threads that it uses; None for one per core.
        adapter: The file of an adapter, which `valle train adapt` wrote for this bundle.

    Raises:
        BundleError: There is no such bundle or adapter, or it cannot be used.
        ConsentError: It was fine-tuned on a voice whose consent is not valid, or was revoked.
    """
    bundle = Bundle.load(source, threads)
    return Model(bundle if adapter is None else bundle.with_adapter(Adapter.load(adapter)))


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
    """A bundle that speaks. Safe to share between threads; graphs are loaded at first use.

    Raises:
        ConsentError: It was fine-tuned on a voice whose consent is not valid, or was revoked.
    """

    def __init__(self, bundle: Bundle) -> None:
        check_training_receipts(bundle.config.consents)
        self.bundle = bundle
        self.codec = Codec(bundle)
        self.sample_rate = bundle.config.sample_rate  # Hz
        self.frame_rate = bundle.config.sample_rate / bundle.config.hop  # frames per second
        self._pipeline = Pipeline(bundle, self.codec)

    def enroll(  # noqa: PLR0913 - the public options of a voice, by keyword
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
        given = GivenConsent(attest, consent, challenge, speaker)
        issue_receipt = build_issuer(self.bundle, given, name)
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
        text: str | Iterable[str] | DirectedText,
        voice: Voice | str | Path,
        voices: Mapping[str, Voice | str | Path] | None = None,
        **options: Unpack[SpeakKeywords],
    ) -> Speech:
        """Synthesize a text: the joined pieces of `stream` with the same options.

        The default of `retries` differs: 2 here, as in `SpeakOptions`. `Speech.options` has all
        options that were used; with them, the same voice and the same text, both methods give the
        same samples.

        Args:
            text: See `stream`.
            voice: See `stream`.
            voices: See `stream`.
            options: Fields of `valle.options.SpeakOptions`.

        Raises:
            Error: What `stream` raises.
        """
        chosen = SpeakOptions.from_keywords(**options)
        return Speech.join(self.stream(text, voice, voices, **chosen.as_keywords()))

    def stream(
        self,
        text: str | Iterable[str] | DirectedText,
        voice: Voice | str | Path,
        voices: Mapping[str, Voice | str | Path] | None = None,
        **options: Unpack[SpeakKeywords],
    ) -> Iterator[Speech]:
        """Synthesize a text piece by piece, each as soon as it is complete.

        The default of `retries` is 0 here, so that the first piece comes before the end of its
        sentence. With retries or `best_of`, a sentence is checked before its first piece comes.

        Args:
            text: A whole text, or its parts as they come: a sentence starts once it is complete.
                `[[...]]` is IPA, spoken as given, and `[voice:NAME]`, `[pause:1.5s]`, `[rate:1.1]`
                and `[style:NAME]` direct how it is spoken. With `ssml`, a document in SSML.
            voice: From `enroll`, or a voice's name in the registry or its file.
            voices: Those that `[voice:NAME]` names; other names are looked up in the registry.
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
        if chosen.ssml and not isinstance(text, str):
            raise UsageError("--ssml needs a whole document in SSML, not a script or parts of it")
        named = {name: find_voice(other) for name, other in (voices or {}).items()}
        find = VoiceFinder(find_voice(voice), named, self.bundle.config.language)
        find(None)
        if isinstance(text, str):
            text = parse_text(text, chosen.plain, chosen.ssml)
        if isinstance(text, DirectedText):
            return self._pipeline.stream(self._request_whole(text, find, chosen))
        reading = make_reading(chosen.plain, chosen.lexicon)
        source = SourceText(text)
        # What needs the whole of a sentence cannot begin before its end.
        early = not chosen.retries and chosen.best_of == 1 and chosen.speed == 1.0
        segments = LiveReader(source.read(), self.bundle.config.language, reading, early)
        return self._pipeline.stream(SpeechRequest(segments, None, source, None, find, chosen))

    def measure(
        self,
        text: str | DirectedText,
        voice: Voice | str | Path,
        voices: Mapping[str, Voice | str | Path] | None = None,
        **options: Unpack[SpeakKeywords],
    ) -> NaturalLength:
        """Find how long a text is at its own pace, for a third of the work of speaking it.

        It is the length of what `speak` gives with the same arguments and no retries. Whoever
        speaks it next gets that without this part of the work.

        Args:
            text: See `stream`; a whole text.
            voice: See `stream`.
            voices: See `stream`.
            options: Fields of `valle.options.SpeakOptions`; `speed` and `duration` have no effect.

        Raises:
            Error: What `stream` raises for text, voices and options.
        """
        chosen = SpeakOptions.from_keywords(**options)
        named = {name: find_voice(other) for name, other in (voices or {}).items()}
        find = VoiceFinder(find_voice(voice), named, self.bundle.config.language)
        find(None)
        if isinstance(text, str):
            text = parse_text(text, chosen.plain, chosen.ssml)
        return self._pipeline.measure(self._request_whole(text, find, chosen))

    def align(
        self,
        recording: Source | NDArray[np.generic],
        text: str,
        lexicon: str | dict[str, str] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> TimedTranscript:
        """Find when each word of a text is said in a recording of any length.

        Music, noise and speech that is not in the text are passed over; words that are not said
        have no times.

        Args:
            recording: See `enroll`.
            text: What is said in it.
            lexicon: How words are said, as in `valle.options.SpeakOptions`.
            progress: Called with the seconds that were heard since the last call.

        Raises:
            RecordingError: The recording cannot be read.
            TextError: Nothing in the text can be spoken, or none of it is said in the recording.
        """
        if isinstance(recording, np.ndarray):
            recording = (recording, self.sample_rate)
        samples = read_mono(recording, self.sample_rate)
        recognizer = self._pipeline.recognizer
        return align_transcript(recognizer, samples, text, make_reading(False, lexicon), progress)

    def stream_timed(
        self,
        transcript: TimedTranscript,
        voice: Voice | str | Path,
        **options: Unpack[SpeakKeywords],
    ) -> Iterator[Speech]:
        """Speak a transcript when it is said in a recording, in another voice.

        Every word begins when it begins there, as far as the phonemes allow; words that are not
        said there are left out.

        Args:
            transcript: From `align`.
            voice: See `stream`.
            options: Fields of `valle.options.SpeakOptions`; there is nothing for `speed`,
                `duration` and `pause` to change.

        Returns:
            The pieces; together they are as long as the recording up to its last word.

        Raises:
            UsageError: An option is unknown, out of range or of no use, or there is no such voice.
            TextError: Nothing of the transcript is said in the recording.
            RecordingError: The voice file cannot be used.
            ConsentError: The voice may not be used.
            OutputError: The ledger cannot be written.
        """
        chosen = SpeakOptions.from_keywords(**options)
        if chosen.speed != 1.0 or chosen.duration is not None:
            raise UsageError("the times of the recording leave nothing for --speed or --duration")
        find = VoiceFinder(find_voice(voice), {}, self.bundle.config.language)
        find(None)
        phrases = split_phrases(transcript)
        if not phrases:
            raise TextError(
                "no word of the text was heard in the recording; give the text that is said in it"
            )
        segments = [Segment(phrase.sentence) for phrase in phrases]
        source = SourceText(transcript.text)
        return self._pipeline.stream(
            SpeechRequest(
                segments, transcript.text, source, len(segments), find, chosen, phrases=phrases
            )
        )

    def _request_whole(
        self, text: DirectedText, find_voice: VoiceFinder, options: SpeakOptions
    ) -> SpeechRequest:
        """Return the request of a whole text; what is wrong with it is said before any sound."""
        for passage in text.passages:
            try:
                find_voice(passage.delivery.voice)
            except UsageError as error:
                raise UsageError(f"line {passage.line}: {error}") from None
        reading = make_reading(options.plain, options.lexicon)
        segments = list(read_passages(text, self.bundle.config.language, reading))
        count = sum(segment.sentence is not None for segment in segments)
        if max(options.redo, default=0) > count:
            raise UsageError(
                f"--redo {max(options.redo)}: the text has {count} sentences, counted from 1"
            )
        source = SourceText(text.text)
        return SpeechRequest(
            segments, text.text, source, count, find_voice, options, marks=text.marks
        )
