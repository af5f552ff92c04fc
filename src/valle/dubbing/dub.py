"""`dub_film`: a film whose subtitles are spoken, each in its time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from valle.audio.fingerprint import MIN_SECONDS
from valle.consent.validity import check_usable
from valle.dubbing.film_sound import FilmSound
from valle.dubbing.fitting import Placement, Slot, make_slots, place
from valle.dubbing.mixing import (
    PlacedSpeech,
    cut_out,
    match_loudness,
)
from valle.dubbing.onsets import find_sound
from valle.dubbing.options import DubKeywords, DubOptions
from valle.dubbing.pacing import PacedCue, Progress, ignore_progress, speak_in_time
from valle.dubbing.report import PEAKS_PER_SECOND, DubbedCue, DubResult
from valle.dubbing.speaking import (
    CueRequest,
    CueSpeaker,
    CueSpeech,
    decode_flac,
    encode_flac,
)
from valle.dubbing.time_scaling import compress_time
from valle.errors import TextError, UsageError
from valle.media.disk_cache import DiskCache
from valle.media.films import Film, read_film
from valle.media.muxing import check_film_name
from valle.media.subtitles import Cue, CueNote, Subtitles, read_subtitles
from valle.synthesis.model import Model, find_voice
from valle.trust import ledger
from valle.trust.spoken import SpokenPrints
from valle.version import __version__
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from typing_extensions import Unpack

_REDO = 1 << 62  # added to the seed for each time that a cue is redone
_FAINT = 1e-4  # root mean square of the noise between cues in fingerprints


def dub_film(  # noqa: PLR0913 - public options
    model: Model,
    film: str | Path,
    subtitles: str | Path | Subtitles,
    voice: Voice | str | Path,
    output: str | Path,
    voices: Mapping[str, Voice | str | Path] | None = None,
    overwrite: bool = False,
    cache: bool = True,
    progress: Progress = ignore_progress,
    **options: Unpack[DubKeywords],
) -> DubResult:
    """Speak the subtitles of a film in its time, and write the film with that sound.

    A cue that fits at its own pace is spoken at that. What does not fit is faster; then it may run
    into the gap after it, and at last its samples are compressed a little. Nothing is
    stretched to fill a slot, and nothing is cut. The picture and all other tracks are copied
    without change. Next to the film, `<output>.json` is the signed record of how it was made.

    Args:
        model: From `valle.load()`.
        film: MP4, MOV, MKV, WebM, AVI or TS.
        subtitles: SubRip, WebVTT or ASS, or cues from `valle.media.subtitles.read_subtitles`.
        voice: That of all speakers who are not in `voices`.
        output: The film to write: .mp4, .m4v, .mov or .mkv.
        voices: Voices of speakers, by their names in the subtitles; case does not matter.
        overwrite: Whether existing files are replaced.
        cache: Whether speech and encoded sound are kept in the user's data folder, so that a
            second run speaks only what has changed.
        progress: Called as work goes on.
        options: Fields of `valle.dubbing.options.DubOptions`.

    Raises:
        UsageError: An option is wrong, there is no such voice, or PyAV is not installed.
        RecordingError: The film cannot be read.
        TextError: The subtitles cannot be read, or nothing in them is spoken.
        ConsentError: A voice may not be used.
        OutputError: The film cannot be written.
        FileExistsError: The output exists, and `overwrite` is False.
    """
    chosen = DubOptions.from_keywords(**options)
    check_film_name(output)
    cast = {name.casefold(): find_voice(other) for name, other in (voices or {}).items()}
    cast[""] = find_voice(voice)
    for other in cast.values():
        check_usable(other, language=model.bundle.config.language)
    source = read_film(film)
    if not isinstance(subtitles, Subtitles):
        subtitles = read_subtitles(subtitles, list(voices or {}))
    film_sound = FilmSound(source, chosen, cache, progress)
    kept = DiskCache("cues").prune() if cache else None
    notes = list(subtitles.notes)
    cues = _select_cues(subtitles.cues, source, notes)
    _check_redo(cues, chosen)
    _note_speakers(cues, cast, notes)
    speakers = [cast.get((cue.speaker or "").casefold(), cast[""]) for cue in cues]
    _record(model, cues, speakers, chosen.seed)
    slots = make_slots(cues, chosen.spill, source.seconds)
    loudness = film_sound.find_loudness([(slot.start, slot.end) for slot in slots])
    speaker = CueSpeaker(model, chosen.retries, chosen.lexicon, kept)
    requests = _make_requests(cues, speakers, chosen)
    paced = speak_in_time(speaker, requests, slots, chosen.max_rate, progress)
    placements = place([cue.speech.seconds for cue in paced], [cue.factor for cue in paced], slots)
    speech = _prepare_all([cue.speech for cue in paced], placements, speakers, loudness, kept)
    sound = film_sound.mix(speech, [(placement.start, placement.end) for placement in placements])
    left_out = film_sound.write(
        sound, _describe_origin(model, speakers), Path(output), overwrite, "Dub"
    )
    parts = zip(cues, slots, placements, paced, speakers, strict=True)
    dubbed = [_describe(*values) for values in parts]
    return DubResult(
        Path(output),
        source.seconds,
        loudness,
        dubbed,
        notes,
        left_out,
        sound.find_peaks(PEAKS_PER_SECOND),
    )


def _select_cues(cues: Sequence[Cue], film: Film, notes: list[CueNote]) -> list[Cue]:
    """Return the cues that begin within the film."""
    within = [cue for cue in cues if cue.start < film.seconds]
    for cue in cues[len(within) :]:
        notes.append(
            CueNote(cue.number, f"begins after the film's end, {film.seconds:.1f} s; not spoken")
        )
    if not within:
        raise TextError(
            f"all {len(cues)} cues begin after the end of {film.path}, {film.seconds:.1f} s; are "
            "these the subtitles of another film?"
        )
    return within


def _check_redo(cues: Sequence[Cue], options: DubOptions) -> None:
    numbers = {cue.number for cue in cues}
    for number in options.redo:
        if number not in numbers:
            raise UsageError(f"--redo {number}: no cue with that number is spoken")


def _note_speakers(cues: Sequence[Cue], cast: Mapping[str, Voice], notes: list[CueNote]) -> None:
    """Note speakers without a voice of their own, and voices of nobody."""
    names = Counter(cue.speaker for cue in cues if cue.speaker)
    others = [
        f"{n} ({count} cue{'s' * (count > 1)})"
        for n, count in names.items()
        if n.casefold() not in cast
    ]
    if others:
        notes.append(CueNote(0, f"spoken in the voice of --voice: {', '.join(others)}"))
    missing = cast.keys() - {name.casefold() for name in names} - {""}
    if missing:
        found = ", ".join(names) or "no names"
        notes.append(
            CueNote(0, f"no cue is of {', '.join(sorted(missing))}; the subtitles have {found}")
        )


def _record(model: Model, cues: Sequence[Cue], speakers: Sequence[Voice], seed: int) -> None:
    """Enter in the ledger what each voice is about to say, also where it comes from the cache."""
    texts: dict[str, tuple[Voice, list[str]]] = {}
    for cue, voice in zip(cues, speakers, strict=True):
        texts.setdefault(voice.consent["id"], (voice, []))[1].append(cue.text)
    for voice, lines in texts.values():
        ledger.record_text(
            "\n".join(lines),
            receipt=voice.consent["id"],
            model=model.bundle.config.name,
            voice=voice.name,
            seed=seed,
        )


def _make_requests(
    cues: Sequence[Cue], speakers: Sequence[Voice], options: DubOptions
) -> list[CueRequest]:
    """Return what is spoken; a text that occurs again is spoken in another way."""
    occurrences: Counter[str] = Counter()
    requests = []
    for cue, voice in zip(cues, speakers, strict=True):
        seed = options.seed + occurrences[cue.text] + _REDO * list(options.redo).count(cue.number)
        occurrences[cue.text] += 1
        requests.append(CueRequest(cue.text, voice, seed % (1 << 63)))
    return requests


def _prepare_all(
    spoken: Sequence[CueSpeech],
    placements: Sequence[Placement],
    speakers: Sequence[Voice],
    loudness: float,
    cache: DiskCache | None,
) -> list[PlacedSpeech]:
    """Return all speech as it is heard; fingerprints of each voice in it are kept."""
    placed = [
        _prepare(speech, placement, loudness, cache)
        for speech, placement in zip(spoken, placements, strict=True)
    ]
    for receipt in dict.fromkeys(voice.consent["id"] for voice in speakers):
        _keep_prints(
            receipt,
            [
                speech
                for speech, voice in zip(placed, speakers, strict=True)
                if voice.consent["id"] == receipt
            ],
        )
    return placed


def _prepare(
    speech: CueSpeech, placement: Placement, loudness: float, cache: DiskCache | None
) -> PlacedSpeech:
    """Return speech as it is heard: compressed if it must be, as loud as the film, in its place."""
    key = DiskCache.make_key("prepared", speech.key, placement.compression, loudness)
    stored = cache.load(key) if cache is not None else None
    if stored is not None:
        samples, rate = decode_flac(stored[8:])
        return PlacedSpeech(samples, rate, placement.start - float(np.frombuffer(stored[:8])[0]))
    samples, rate = speech.decode()
    begin, end = speech.begin, speech.end
    if placement.compression != 1.0:
        samples = compress_time(samples, rate, placement.compression)
        begin, end = find_sound(samples, rate)
    samples, lead = cut_out(samples, rate, begin, end)
    packed = encode_flac(match_loudness(samples, rate, loudness, speech.loudness), rate)
    if cache is not None:
        cache.store(key, np.float64(lead).tobytes() + packed)
    return PlacedSpeech(decode_flac(packed)[0], rate, placement.start - lead)


def _keep_prints(receipt: str, placed: Sequence[PlacedSpeech]) -> None:
    """Keep the fingerprints of one voice's cues as the film has them.

    A cue alone may be too short to be known again, compressed, or from the cache. Between cues is
    faint noise, which resembles nothing: silence would resemble all other silence.
    """
    rate = placed[0].sample_rate
    rng = np.random.default_rng(0)
    end = -math.inf
    with SpokenPrints(rate) as prints:
        for speech in sorted(placed, key=lambda speech: speech.start):
            gap = min(max(speech.start - end, 0.0), MIN_SECONDS)
            prints.add(receipt, rng.normal(0, _FAINT, round(gap * rate)).astype(np.float32))
            prints.add(receipt, speech.samples)
            end = max(end, speech.start + len(speech.samples) / rate)
        gap = round(MIN_SECONDS * rate)
        prints.add(receipt, rng.normal(0, _FAINT, gap).astype(np.float32))


def _describe_origin(model: Model, speakers: Sequence[Voice]) -> dict[str, Any]:
    """Return what made the speech, as the signed record says it."""
    voices = {voice.consent["id"]: voice for voice in speakers}
    return {
        "made_by": f"valle {__version__}",
        "model": model.bundle.config.name,
        "voices": [
            {
                "voice": voice.name,
                "consent": {"kind": voice.consent["kind"], "id": voice.consent["id"]},
            }
            for voice in voices.values()
        ],
    }


def _describe(
    cue: Cue, slot: Slot, placement: Placement, paced: PacedCue, voice: Voice
) -> DubbedCue:
    rate = paced.natural_word_seconds * placement.compression / paced.speech.word_seconds
    return DubbedCue(cue, slot, placement, paced.speech, voice.name, rate)
