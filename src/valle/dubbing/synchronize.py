"""`synchronize`: the speech of a film or recording again, in another voice, word by word in time.

The words are found in the speech that is there; the new voice says each when the old one did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valle.dubbing.film_sound import FilmSound
from valle.dubbing.mixing import (
    PlacedSpeech,
    cut_out,
    match_loudness,
)
from valle.dubbing.options import SyncOptions
from valle.media.muxing import check_film_name
from valle.runtime.transcript import TimedTranscript
from valle.synthesis.model import Model
from valle.synthesis.speech import Speech
from valle.voices.voice import Voice


@dataclass(frozen=True)
class SyncResult:
    """What was spoken, and how well it keeps the times."""

    transcript: TimedTranscript
    speech: Speech
    """From the beginning of the recording."""

    @property
    def errors(self) -> list[float]:
        """By how many seconds each word begins late; below 0, early."""
        wanted = [word.start for word in self.transcript.words if word.start is not None]
        spoken = [word.start for word in self.speech.words]
        return [after - before for before, after in zip(wanted, spoken, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Return all as plain values that `json` can write."""
        late = np.abs(self.errors)
        return {
            "seconds": round(self.transcript.seconds, 3),
            "words": [word.describe() for word in self.transcript.words],
            "spoken": [
                {"word": w.word, "start": round(w.start, 3), "end": round(w.end, 3)}
                for w in self.speech.words
            ],
            "start_error_median": round(float(np.median(late)), 3),
            "start_error_p90": round(float(np.percentile(late, 90)), 3),
            "missing": list(self.speech.check.missing) if self.speech.check else [],
        }


def synchronize(
    model: Model,
    transcript: TimedTranscript,
    voice: Voice | str | Path,
    options: SyncOptions | None = None,
    progress: Callable[[Speech], None] | None = None,
) -> SyncResult:
    """Speak a transcript in another voice, each word when it is said in the recording.

    Args:
        model: From `valle.load()`.
        transcript: From `Model.align`.
        voice: The new voice.
        options: Its `seed`, `retries` and `lexicon` are used.
        progress: Called with each piece of the new speech.

    Raises:
        UsageError: There is no such voice.
        TextError: Nothing of the transcript is said in the recording.
        ConsentError: The voice may not be used.
    """
    chosen = SyncOptions.from_keywords() if options is None else options
    keywords = chosen.model_dump(include={"seed", "retries", "lexicon"})
    pieces = []
    for piece in model.stream_timed(transcript, voice, **keywords):
        pieces.append(piece)
        if progress is not None:
            progress(piece)
    return SyncResult(transcript, Speech.join(pieces))


def write_synchronized_film(
    film_sound: FilmSound, result: SyncResult, target: Path, overwrite: bool = False
) -> list[str]:
    """Write a film with new speech, and next to it `<target>.json`, the signed record of it.

    Args:
        film_sound: That of the film that the transcript was aligned with.
        result: From `synchronize`.
        target: The file to write: .mp4, .m4v, .mov or .mkv.
        overwrite: Whether existing files are replaced.

    Returns:
        What could not be copied, and why.

    Raises:
        UsageError: The ending is unknown.
        RecordingError: The film or the background is damaged.
        OutputError: The file cannot be written.
        FileExistsError: A file exists, and `overwrite` is False.
    """
    check_film_name(target)
    speech = result.speech
    spans = [(sentence.start, sentence.end) for sentence in speech.sentences]
    louder = match_loudness(speech.audio, speech.sample_rate, film_sound.find_loudness(spans))
    placed = []
    for start, end in spans:
        samples, lead = cut_out(louder, speech.sample_rate, start, end)
        placed.append(PlacedSpeech(samples, speech.sample_rate, start - lead))
    sound = film_sound.mix(placed, spans)
    return film_sound.write(sound, speech.provenance, target, overwrite, "Sync")
