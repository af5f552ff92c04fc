"""What an assistant can do: speak, list voices, check a recording.

There is no tool that clones a voice: a text that an assistant reads could ask for it.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from valle.assistants.options import AssistantOptions
from valle.assistants.player import find_player, play
from valle.bundle.bundle import Bundle
from valle.consent.validity import check_usable
from valle.detection.report import describe_recording, load_watermark_key
from valle.errors import Error, OutputError, RecordingError, TextError, UsageError
from valle.files import data_folder
from valle.runtime.cancellation import Cancellation, CancelledError, cancellable
from valle.synthesis.model import Model
from valle.synthesis.speech import Speech
from valle.voices import registry
from valle.voices.voice import Voice

_MAX_NAMES = 20  # of voices or files, in a message


class SpokenFile(BaseModel):
    """Speech in a file."""

    file: str = Field(description="path of the WAV file; its signed record is FILE.json beside it")
    voice: str
    seconds: float = Field(description="length of the speech")
    played: bool = Field(description="whether it was played on this computer")
    notes: list[str] = Field(description="words that may be missing or repeated, and other notes")


class KnownVoice(BaseModel):
    """A saved voice."""

    name: str
    usable: bool = Field(description="whether its consent permits it to speak now")
    why: str | None = Field(description="why it may not be used")


class VoiceList(BaseModel):
    """The saved voices."""

    voices: list[KnownVoice]


class Tools:
    """The tools. Safe to share between threads."""

    def __init__(self, options: AssistantOptions) -> None:
        """Read the model's configuration, and see that the options can be followed.

        Raises:
            BundleError: There is no such bundle, or it cannot be used.
            UsageError: There is no such voice.
            OutputError: The folder cannot be made, or nothing plays sound.
        """
        self._options = options
        self._folder = Path(options.folder or data_folder() / "spoken").expanduser().absolute()
        self._player = find_player() if options.play else None
        if options.voice is not None:
            registry.path(options.voice)
        self._model = Model(Bundle.load(options.bundle, options.threads))
        self._playing = threading.Lock()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the folder {self._folder} cannot be made: {error.strerror}; choose another with "
                "--folder"
            ) from error

    def list_voices(self) -> VoiceList:
        """Return all saved voices, and which of them may speak."""
        return VoiceList(voices=[self._describe(name) for name in registry.names()])

    def speak(
        self,
        text: str,
        voice: str | None = None,
        speed: float = 1.0,
        report: Callable[[int, int], None] | None = None,
        cancellation: Cancellation | None = None,
    ) -> SpokenFile:
        """Speak a text to a new file of the folder.

        Args:
            text: See `Model.stream`.
            voice: The name of a saved voice; None for the default.
            speed: 1 is the voice's own rate.
            report: Called with the number of sentences that are done, and of all.
            cancellation: Ends the work when it says so.

        Raises:
            Error: The text, the voice, its consent or the speed is refused, or nothing can be
                written.
            CancelledError: It was cancelled.
        """
        if len(text) > self._options.max_characters:
            raise TextError(
                f"the text has {len(text)} characters, and {self._options.max_characters} can be "
                "spoken at once; speak it in parts"
            )
        loaded = registry.load(self._choose_voice(voice))
        cancellation = cancellation or Cancellation()
        pieces = []
        with cancellable(cancellation):
            for piece in self._model.stream(text, loaded, speed=speed, retries=2):
                if cancellation.cancelled:
                    raise CancelledError
                pieces.append(piece)
                if report is not None and piece.sentences:
                    last = piece.sentences[-1]
                    report(last.number, last.count or last.number)
        return self._save(Speech.join(pieces), loaded)

    def check_recording(self, file: str) -> dict[str, Any]:
        """Report where a recording of the folder comes from; see `valle detect --json`.

        Raises:
            RecordingError: There is no such file, or it cannot be used.
            OutputError: The folder cannot be read.
        """
        path = self._find_file(file)
        key = load_watermark_key()
        return {"file": str(path), **describe_recording(path, self._model.bundle, key)}

    def _find_file(self, wanted: str) -> Path:
        """Return a file of the folder by its name or path, both of which are only compared."""
        try:
            files = sorted(entry.name for entry in os.scandir(self._folder) if entry.is_file())
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be read: {error.strerror}") from error
        for name in files:
            if wanted in (name, str(self._folder / name)):
                return self._folder / name
        known = [name for name in files if not name.endswith(".json")]
        listed = ", ".join(known[:_MAX_NAMES]) or "it has none yet"
        raise RecordingError(
            f"there is no file {wanted[:200]!r} in {self._folder}, and no other folder is read; "
            f"put the recording there ({listed})"
        )

    def _choose_voice(self, wanted: str | None) -> str:
        chosen = wanted or self._options.voice
        names = registry.names()
        if chosen is None and names:
            return names[0]
        if chosen is None:
            raise UsageError(
                "no voice is saved yet; its owner or user makes one: valle enroll FILE --name NAME"
            )
        folded = [name.casefold() for name in names]
        if chosen.casefold() not in folded:
            listed = ", ".join(names[:_MAX_NAMES]) or "there are none yet"
            raise UsageError(f"there is no voice named {chosen[:80]!r}; choose one of: {listed}")
        return chosen

    def _describe(self, name: str) -> KnownVoice:
        try:
            check_usable(registry.load(name), language=self._model.bundle.config.language)
        except Error as error:
            return KnownVoice(name=name, usable=False, why=str(error))
        return KnownVoice(name=name, usable=True, why=None)

    def _save(self, speech: Speech, voice: Voice) -> SpokenFile:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.wav"
        path = self._folder / name
        speech.save(path, overwrite=False)
        notes = [f"not spoken: {part.text!r} ({part.why})" for part in speech.skipped]
        for sentence in speech.sentences:
            if not sentence.check.passed:
                words = sorted({*sentence.check.missing, *sentence.check.repeated})
                notes.append(f"sentence {sentence.number} may be misspoken at: {', '.join(words)}")
        played = False
        if self._player is not None:
            try:
                with self._playing:  # one after the other
                    play(self._player, str(path))
                played = True
            except OutputError as error:
                notes.append(str(error))
        return SpokenFile(
            file=str(path),
            voice=voice.name,
            seconds=round(speech.seconds, 3),
            played=played,
            notes=notes,
        )
