"""The sound of a film: what of the old one stays, and how the new one is written.

Dubbing and synchronizing differ in what is spoken when; what follows is the same.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from valle.arrays import Samples
from valle.audio.loudness import DEFAULT_LOUDNESS
from valle.dubbing.background import read_background
from valle.dubbing.mixing import Bed, DubSound, PlacedSpeech, measure_speech
from valle.dubbing.options import FilmOptions
from valle.dubbing.pacing import Progress, ignore_progress
from valle.errors import UsageError
from valle.files import write_atomically
from valle.media.disk_cache import DiskCache
from valle.media.films import Film, choose_sound, read_sound
from valle.media.muxing import NewSound, write_film
from valle.media.soundtrack import CHANNELS, RATE, EncodedPacket, encode_aac
from valle.options import describe_options
from valle.trust import ledger, provenance

Spans = Sequence[tuple[float, float]]

_SILENT = -60.0  # LUFS: an original below it has no speech to match
_LOUDEST = -5.0  # LUFS
_LANGUAGE = "eng"  # ISO 639-2


class FilmSound:
    """The sound of a film, from which a new soundtrack is made."""

    def __init__(
        self,
        film: Film,
        options: FilmOptions,
        cache: bool = True,
        progress: Progress = ignore_progress,
    ) -> None:
        """Check what is asked for, before any work.

        Args:
            film: The film.
            options: Where the original sound goes, and how loud the speech is.
            cache: Whether encoded sound is kept in the user's data folder.
            progress: Called with every second that is written.

        Raises:
            UsageError: Options exclude each other, or there is no such track.
            RecordingError: The background cannot be read.
        """
        self._film, self._options, self._progress = film, options, progress
        self._track = choose_sound(film, options.track)
        if options.original == "duck" and self._track is None:
            raise UsageError(f"{film.path} has no sound to lower; leave --original duck out")
        if options.original == "duck" and options.background is not None:
            raise UsageError("--background takes the place of the original sound; leave out duck")
        self._background = None
        if options.background is not None:
            self._background = _open(read_background(options.background))
        self._cache = DiskCache("soundtracks").prune() if cache else None

    def find_loudness(self, spans: Spans) -> float:
        """Return the loudness that the speech gets, in LUFS.

        That of the original is kept for the film: were it measured again whenever a cue changes,
        all of the soundtrack would change with it.

        Args:
            spans: When there is speech in the original: begin and end in seconds.
        """
        if self._options.loudness is not None:
            return self._options.loudness
        if self._track is None:
            return DEFAULT_LOUDNESS
        key = DiskCache.make_key("loudness", self._film.fingerprint, self._track.index)
        stored = self._cache.load(key) if self._cache is not None else None
        if stored is not None:
            measured = float(stored)
        else:
            measured = measure_speech(self._film, self._track, spans)
            if self._cache is not None:
                self._cache.store(key, repr(measured).encode())
        return DEFAULT_LOUDNESS if measured < _SILENT else min(_LOUDEST, measured)

    def mix(self, speech: Sequence[PlacedSpeech], spans: Spans) -> DubSound:
        """Return the soundtrack: speech over the sound beneath it.

        Args:
            speech: What is heard, and when.
            spans: When there is speech, so that the sound beneath is lowered.
        """
        bed = None
        if self._background is not None:
            bed = Bed(self._background)
        elif self._options.original == "duck" and self._track is not None:
            original = read_sound(self._film, self._track, RATE, CHANNELS)
            bed = Bed(original, spans, self._options.duck)
        return DubSound(speech, self._film.seconds, bed)

    def write(
        self,
        sound: DubSound,
        record: dict[str, Any],
        output: Path,
        overwrite: bool,
        title: str,
    ) -> list[str]:
        """Write the film with a soundtrack, and its signed record, both or neither.

        Args:
            sound: From `mix`.
            record: What made the speech.
            output: The film to write; its ending is the format.
            overwrite: Whether existing files are replaced.
            title: Of the new track, as players show it.

        Returns:
            What of the film was left out, and why.

        Raises:
            RecordingError: The film or the background is damaged.
            OutputError: The file cannot be written.
            FileExistsError: A file exists, and `overwrite` is False.
        """
        kept = self._film.sounds if self._options.original == "keep" else []
        sidecar = provenance.sidecar_path(output)
        if not overwrite and sidecar.exists():
            raise FileExistsError(str(sidecar))
        key = ledger.get_signing_key().private
        with write_atomically(sidecar) as part:
            packets = self._report(encode_aac(sound, self._cache), sound)
            new = NewSound(packets, _LANGUAGE, title)
            left_out = write_film(self._film, output, new, kept, overwrite)
            record = record | {
                "options": describe_options(self._options),
                "seconds": round(self._film.seconds, 3),
                "file_sha256": provenance.file_sha256(output),
            }
            signed = provenance.sign(record, key)
            part.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")
        return left_out

    def _report(self, packets: Iterator[EncodedPacket], sound: DubSound) -> Iterator[EncodedPacket]:
        second, seconds = -1, math.ceil(sound.samples / RATE)
        for packet in packets:
            if packet.start // RATE != second:
                second = packet.start // RATE
                self._progress("writing the film", second, seconds)
            yield packet


def _open(blocks: Iterator[Samples]) -> Iterator[Samples]:
    """Read the first block, so that a file that cannot be read is refused before any work."""
    first = next(blocks, None)
    return iter(()) if first is None else itertools.chain([first], blocks)
