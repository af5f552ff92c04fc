"""`restyle_recording`: a recording in another style, with its own words and its own voice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from valle.arrays import Samples
from valle.audio.levels import STEPS_PER_SECOND, compute_power
from valle.audio.recording import resample
from valle.audio.shaping import shape_speech, track_semitones
from valle.consent.prints import is_same_speaker
from valle.consent.validity import check_usable
from valle.editing.sound import ChangedRecording, read_editable
from valle.errors import ConsentError, UsageError
from valle.styles import Style, parse_style
from valle.trust import ledger
from valle.trust.marking import make_watermark
from valle.trust.spoken import SpokenPrints
from valle.version import __version__
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from valle.synthesis.model import Model

_PART = (10.0, 20.0)  # seconds: the least and the most that are changed at once


@dataclass(frozen=True, eq=False)
class RestyledRecording(ChangedRecording):
    """A recording in another style."""

    def describe(self) -> dict[str, Any]:
        """Return all but the samples as plain values that `json` can write."""
        seconds = round(self.seconds, 3)
        return {"seconds": seconds, "sample_rate": self.sample_rate, "provenance": self.provenance}


def restyle_recording(
    model: Model,
    recording: object,
    style: Style | str,
    voice: Voice,
    progress: Callable[[float], None] | None = None,
) -> RestyledRecording:
    """Say a recording in another style.

    Its own sound is changed period by period, and no word is spoken again. So the words, the voice
    and the channels stay, and no transcript is needed.

    Args:
        model: From `valle.load()`, for its language alone.
        recording: A path, an open binary file or (samples, sample rate), where samples are [N] or
            [N, channels].
        style: A style or its text, such as "sad 0.5".
        voice: The voice of the recording, with its receipt.
        progress: Called with the seconds that were changed since the last call.

    Raises:
        UsageError: The style changes nothing or is not known, or the sample rate is below 8 kHz.
        RecordingError: The recording cannot be read.
        ConsentError: The voice may not be used, or is not that of the recording.
        OutputError: The ledger cannot be written.
    """
    style = parse_style(style) if isinstance(style, str) else style
    shift = style.resolve()
    if shift is None:
        raise UsageError("this style changes nothing; give an emotion or a number above strength 0")
    sound = read_editable(recording)
    mono = sound.samples.mean(axis=1)
    heard = resample(mono, sound.rate, model.sample_rate), model.sample_rate
    if not is_same_speaker(heard, (voice.audio, voice.sample_rate)):
        raise ConsentError(
            f"the voice {voice.name} is not the one in the recording, and only a speaker who "
            "consented may be made to sound different; give the recording's own voice"
        )
    check_usable(voice, language=model.bundle.config.language)
    original = hashlib.sha256(sound.samples.tobytes()).hexdigest()
    receipt = voice.consent["id"]
    ledger.append("restyle", receipt=receipt, samples_sha256=original, voice=voice.name)
    marks = [make_watermark(sound.rate, receipt) for _ in range(sound.samples.shape[1])]
    parts, made = [], 0
    median = _find_median(mono, sound.rate)
    with SpokenPrints(sound.rate) as prints:
        for start, end in _split(mono, sound.rate):
            check_usable(
                voice, language=model.bundle.config.language
            )  # it may be revoked meanwhile
            length = round(end / shift.rate) - made
            shaped = shape_speech(sound.samples[start:end], sound.rate, shift, length, median)
            marked = [mark.feed(channel) for mark, channel in zip(marks, shaped.T, strict=True)]
            parts.append(np.stack(marked, axis=1))
            prints.add(receipt, parts[-1].mean(axis=1))
            made += length
            if progress is not None:
                progress((end - start) / sound.rate)
        parts.append(np.stack([mark.finish() for mark in marks], axis=1))
        prints.add(receipt, parts[-1].mean(axis=1))
    provenance = {
        "made_by": f"valle {__version__}",
        "model": model.bundle.config.name,
        "voice": voice.name,
        "consent": {"kind": voice.consent["kind"], "id": receipt},
        "options": {"style": style.model_dump(mode="json")},
        "watermark": marks[0].describe(),
        "original_samples_sha256": original,
    }
    samples = np.clip(np.concatenate(parts), -1.0, 1.0)
    return RestyledRecording(samples, sound.rate, provenance, sound)


def _find_median(mono: Samples, rate: int) -> float | None:
    """Return the median pitch of a recording, in semitones above 55 Hz; None without a voice."""
    pitches = [track_semitones(mono[start:end], rate) for start, end in _split(mono, rate)]
    voiced = np.concatenate([part[np.isfinite(part)] for part in pitches])
    return float(np.median(voiced)) if len(voiced) else None


def _split(mono: Samples, rate: int) -> Iterator[tuple[int, int]]:
    """Cut a recording [N] where it is quiet, into parts of 10 to 20 s."""
    step = rate // STEPS_PER_SECOND
    power = compute_power(mono, rate)
    least, most = (round(seconds * STEPS_PER_SECOND) for seconds in _PART)
    start = 0
    while len(mono) - start > most * step:
        first = start // step + least
        quietest = first + int(np.argmin(power[first : first + most - least]))
        yield start, quietest * step + step // 2
        start = quietest * step + step // 2
    yield start, len(mono)
