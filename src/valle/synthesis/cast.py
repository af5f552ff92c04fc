"""The voices that speak a text, each prepared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from valle.consent.validity import check_usable
from valle.synthesis.acoustic_model import VoicePrompt
from valle.synthesis.candidates import CandidateSelector
from valle.voices import registry
from valle.voices.voice import Voice


@dataclass(frozen=True)
class Speaker:
    """A voice that speaks, with what its sentences are generated from."""

    voice: Voice
    prompt: VoicePrompt
    selector: CandidateSelector


class VoiceFinder:
    """Finds the voices of one text by name: those given with it, then the registry.

    A text may come from anyone, so a name in it is never the path of a file.
    """

    def __init__(self, default: Voice, named: Mapping[str, Voice], language: str) -> None:
        """Find voices for a text in a language; `default` is that of text without a name."""
        self._named = {name.casefold(): voice for name, voice in named.items()}
        self._found: dict[str | None, Voice] = {None: default}
        self._language = language
        self._checked: set[str | None] = set()

    def __call__(self, name: str | None) -> Voice:
        """Return a voice that may be used.

        Raises:
            UsageError: There is no such voice.
            RecordingError: Its file is damaged.
            ConsentError: It may not be used.
        """
        if name not in self._found:
            assert name is not None
            known = self._named.get(name.casefold())
            self._found[name] = registry.load(name) if known is None else known
        voice = self._found[name]
        if name not in self._checked:
            check_usable(voice, language=self._language)
            self._checked.add(name)
        return voice


class Cast:
    """The speakers of one text by the names that its tags give them; None is the text's own."""

    def __init__(
        self, find_voice: Callable[[str | None], Voice], prepare: Callable[[Voice], Speaker]
    ) -> None:
        self._find_voice = find_voice
        self._prepare = prepare
        self._speakers: dict[str | None, Speaker] = {}

    def __getitem__(self, name: str | None) -> Speaker:
        """Return a speaker.

        Raises:
            Error: What `find_voice` raises.
        """
        if name not in self._speakers:
            voice = self._find_voice(name)
            known = [s for s in self._speakers.values() if s.voice is voice]
            self._speakers[name] = known[0] if known else self._prepare(voice)
        return self._speakers[name]
