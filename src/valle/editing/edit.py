"""`edit_recording`: words of a recording replaced, removed or added in its own voice."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from valle.arrays import Codes, Samples
from valle.audio.recording import resample
from valle.consent.prints import is_same_speaker
from valle.consent.validity import check_usable
from valle.editing.changes import Change, apply_changes
from valle.editing.options import EditOptions
from valle.editing.sound import ChangedRecording, EditableSound, read_editable
from valle.editing.spans import Span, Timeline
from valle.editing.splicing import Patch, Splice, close_gap, place_patch, splice
from valle.editing.tidying import find_fillers, shorten_pauses
from valle.errors import ConsentError, TextError, UsageError
from valle.options import describe_options
from valle.runtime.ar import ARDecoder
from valle.runtime.check import phoneme_error_rate
from valle.runtime.nar import NAR
from valle.runtime.recognizer import PhonemeRecognizer
from valle.runtime.sampling import Sampling
from valle.runtime.transcript import TimedTranscript
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.infilling import infill
from valle.text.reading import make_reading
from valle.text.symbols import BORDERS
from valle.trust import ledger
from valle.trust.marking import make_watermark
from valle.trust.spoken import SpokenPrints
from valle.version import __version__
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from valle.synthesis.model import Model

_ENCODER_MARGIN = 50  # frames around a context that are encoded too
_SAME_LENGTH = 0.1  # s by which a transcript may be longer or shorter than its recording


@dataclass(frozen=True)
class EditedSpan:
    """One place of a recording that was edited."""

    removed: str
    """The words that were there; "" for an insertion."""
    added: str
    """The words that are there now; "" for a deletion. A pause that was shortened has neither."""
    was: tuple[float, float]
    """Seconds in the recording: where its samples end, and where they go on."""
    now: tuple[float, float]
    """Seconds in the result of all samples that are not those of the recording."""
    new_speech: tuple[float, float]
    """Seconds in the result of the new words, without the cross-fades."""
    phoneme_error_rate: float | None
    """Of the new words as the recognizer hears them; None for a deletion."""

    def describe(self) -> dict[str, Any]:
        """Return all as plain values that `json` can write."""
        error = self.phoneme_error_rate
        return {
            "removed": self.removed,
            "added": self.added,
            "was": [round(second, 6) for second in self.was],
            "now": [round(second, 6) for second in self.now],
            "new_speech": [round(second, 6) for second in self.new_speech],
            "phoneme_error_rate": None if error is None else round(error, 3),
        }


@dataclass(frozen=True, eq=False)
class EditedRecording(ChangedRecording):
    """A recording after an edit."""

    text: str
    """What it says now."""
    spans: list[EditedSpan]
    """The places that were edited, in order."""

    def describe(self) -> dict[str, Any]:
        """Return all but the samples as plain values that `json` can write."""
        return {
            "seconds": round(self.seconds, 3),
            "sample_rate": self.sample_rate,
            "text": self.text,
            "edits": [span.describe() for span in self.spans],
            "provenance": self.provenance,
        }


def edit_recording(  # noqa: PLR0913 - the public options of an edit
    model: Model,
    recording: object,
    transcript: TimedTranscript,
    changes: Sequence[Change],
    voice: Voice,
    options: EditOptions | None = None,
    progress: Callable[[], None] | None = None,
) -> EditedRecording:
    """Replace, remove or add words of a recording in the voice that speaks in it.

    The models fill a span in from the two seconds of speech before and after it (infilling, as in
    Voicebox, Le et al. 2023, but with an autoregressive model).

    Args:
        model: From `valle.load()`.
        recording: A path, an open binary file or (samples, sample rate), where samples are [N] or
            [N, channels].
        transcript: From `Model.align` of the same recording.
        changes: From `replace_words`, `delete_words`, `insert_words` or `compare_transcripts`; none
            are needed where the options ask for fillers or pauses.
        voice: The voice of the recording, with its receipt.
        options: The seed, how many candidates are generated, and the lexicon.
        progress: Called after each candidate.

    Raises:
        UsageError: There are no changes, or the transcript is that of another recording.
        RecordingError: The recording cannot be read, or does not go on around the change.
        TextError: The words were not heard, or what is to be said has no sound.
        ConsentError: The voice may not be used, or is not that of the recording.
        OutputError: The ledger cannot be written.
    """
    chosen = EditOptions.from_keywords() if options is None else options
    if not (changes or chosen.remove_fillers or chosen.shorten_pauses):
        raise UsageError("there is nothing to change; give at least one change")
    sound = read_editable(recording)
    mono = resample(sound.samples.mean(axis=1), sound.rate, model.sample_rate)
    if abs(len(mono) / model.sample_rate - transcript.seconds) > _SAME_LENGTH:
        raise UsageError("the transcript is that of another recording; align this one")
    if not is_same_speaker((mono, model.sample_rate), (voice.audio, voice.sample_rate)):
        raise ConsentError(
            f"the voice {voice.name} is not the one in the recording, and words may only be put "
            "into the mouth of a speaker who consented; give the recording's own voice"
        )
    check_usable(voice, language=model.bundle.config.language)
    timeline = Timeline(transcript)
    spans = _find_spans(timeline, transcript, changes, chosen, (mono, model.sample_rate))
    for span in spans:
        _record(model, span, voice, chosen)
    editor = _Editor(model, mono, timeline, voice, chosen)
    splices, errors = [], []
    with SpokenPrints(sound.rate) as prints:
        for span in spans:
            one, error = editor.edit(sound, span, progress)
            # It may be revoked meanwhile.
            check_usable(voice, language=model.bundle.config.language)
            if span.phonemes:
                new = one.samples[one.new[0] : one.new[1]].mean(axis=1)
                prints.add(voice.consent["id"], new)
            splices.append(one)
            errors.append(error)
    for before, after in itertools.pairwise(splices):
        if after.start < before.end:
            raise TextError("two changes are too close to each other; make them one")
    edited = _describe_spans(sound, transcript, spans, splices, errors)
    text, _ = apply_changes(transcript, [span.change for span in spans])
    provenance = {
        "made_by": f"valle {__version__}",
        "model": model.bundle.config.name,
        "voice": voice.name,
        "consent": {"kind": voice.consent["kind"], "id": voice.consent["id"]},
        "options": describe_options(chosen),
        "watermark": editor.describe_watermark() if any(s.phonemes for s in spans) else None,
        "original_samples_sha256": hashlib.sha256(sound.samples.tobytes()).hexdigest(),
        "edits": [span.describe() for span in edited],
    }
    samples = splice(sound.samples, splices)
    return EditedRecording(samples, sound.rate, provenance, sound, text, edited)


def _find_spans(
    timeline: Timeline,
    transcript: TimedTranscript,
    changes: Sequence[Change],
    options: EditOptions,
    audio: tuple[Samples, int],
) -> list[Span]:
    """Return the parts of a recording (mono [N], rate) that its changes and options replace."""
    if options.remove_fillers:
        changes = [*changes, *find_fillers(transcript, changes)]
    spans = timeline.find_spans(changes, make_reading(False, options.lexicon))
    if options.shorten_pauses is not None:
        spans = shorten_pauses(timeline, spans, *audio, options.shorten_pauses)
    if not spans:
        raise TextError(
            "there is nothing to change: the text has none of the filler words, or no pause is "
            "longer than asked; write fillers into the text as they are said, such as um"
        )
    return spans


class _Editor:
    """Generates what is laid into one recording."""

    def __init__(
        self,
        model: Model,
        mono: Samples,
        timeline: Timeline,
        voice: Voice,
        options: EditOptions,
    ) -> None:
        self._model = model
        self._mono = mono  # [N] at the model's rate
        self._timeline = timeline
        self._options = options
        self._acoustic_model = AcousticModel(model.bundle, model.codec)
        self._embedding = model.embedding(voice)
        self._ar, self._nar = ARDecoder(model.bundle), NAR(model.bundle)
        self._recognizer = PhonemeRecognizer(model.bundle)
        self._receipt = voice.consent["id"]

    def describe_watermark(self) -> dict[str, Any]:
        """Describe the watermark of the new speech for the record."""
        return make_watermark(self._model.sample_rate, self._receipt).describe()

    def edit(
        self, sound: EditableSound, span: Span, progress: Callable[[], None] | None
    ) -> tuple[Splice, float | None]:
        """Return what takes the place of a span, and its phoneme error rate."""
        hop, rate = self._model.codec.hop, self._model.sample_rate
        edges = span.start * hop, span.end * hop
        if not span.phonemes:
            scale = sound.rate / rate
            cut = round(edges[0] * scale), min(len(sound.samples), round(edges[1] * scale))
            return close_gap(sound, cut), None
        first, last = self._timeline.context_frames(span)
        codes = self._encode(first, last)
        patch, error = self._generate(span, codes, (span.start - first, last - span.end), progress)
        pauses = span.pause_before * hop, span.pause_after * hop
        return place_patch(sound, patch, edges, pauses), error

    def _encode(self, first: int, last: int) -> Codes:
        """Return the codes of frames; what is around them is encoded too, and left out."""
        hop, low = self._model.codec.hop, max(0, first - _ENCODER_MARGIN)
        part = self._mono[low * hop : (last + _ENCODER_MARGIN) * hop]
        part = np.pad(part, (0, max(0, (last - low) * hop - len(part))))
        return self._model.codec.encode(part)[first - low : last - low]

    def _generate(
        self,
        span: Span,
        codes: Codes,
        context: tuple[int, int],
        progress: Callable[[], None] | None,
    ) -> tuple[Patch, float]:
        """Generate candidates, and return the one that is understood best with its error rate."""
        request = self._timeline.request(span, codes, self._acoustic_model, self._embedding)
        expected = [p.symbol for p in span.phonemes if p.symbol not in BORDERS]
        before, after = context
        best: tuple[float, Samples] | None = None
        for candidate in range(self._options.best_of):
            rng = np.random.default_rng((self._options.seed, span.start, candidate))
            new = infill(self._ar, self._nar, request, Sampling(), rng)
            spliced = np.concatenate([codes[:before], new, codes[len(codes) - after :]])
            watermark = make_watermark(self._model.sample_rate, self._receipt)
            samples = self._model.codec.decode(spliced, self._embedding, watermark)
            recognition = self._recognizer.transcribe(samples)
            heard = [
                guess
                for guess, frame in zip(recognition.guesses, recognition.frames, strict=True)
                if before <= frame < before + len(new)
            ]
            error = phoneme_error_rate(expected, heard)
            if best is None or error < best[0]:
                best = error, samples
            if progress is not None:
                progress()
        assert best is not None
        hop = self._model.codec.hop
        return Patch(best[1], self._model.sample_rate, before * hop, after * hop), best[0]


def _record(model: Model, span: Span, voice: Voice, options: EditOptions) -> None:
    """Enter in the ledger the words that are about to be spoken, as for any speech."""
    if span.phonemes:
        ledger.record_text(
            span.change.text,
            receipt=voice.consent["id"],
            model=model.bundle.config.name,
            voice=voice.name,
            seed=options.seed,
        )


def _describe_spans(
    sound: EditableSound,
    transcript: TimedTranscript,
    spans: Sequence[Span],
    splices: Sequence[Splice],
    errors: Sequence[float | None],
) -> list[EditedSpan]:
    words, rate, shift, edited = transcript.words, sound.rate, 0, []
    for span, one, error in zip(spans, splices, errors, strict=True):
        change = span.change
        removed = " ".join(word.text for word in words[change.first : change.last])
        begin = one.start + shift
        end = begin + len(one.samples)
        edited.append(
            EditedSpan(
                removed,
                change.text,
                (one.start / rate, one.end / rate),
                (begin / rate, end / rate),
                ((begin + one.new[0]) / rate, (begin + one.new[1]) / rate),
                error,
            )
        )
        shift += len(one.samples) - (one.end - one.start)
    return edited
