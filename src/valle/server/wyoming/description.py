"""What the server says about itself: its voices, and the languages that it speaks."""

from __future__ import annotations

import contextlib

from wyoming.info import Attribution, Info, TtsProgram, TtsVoice

from valle.errors import Error
from valle.registry.keys import Caller
from valle.server.services import Services
from valle.server.speaking import SpeechOrder, find_voices
from valle.version import __version__

_ATTRIBUTION = Attribution(name="valle", url="https://pypi.org/project/valle/")
# A voice is offered only where its languages have the one that a home has chosen, as it is spelled.
_SPELLINGS = {"en": ["en", "en_US", "en_GB"]}


def list_usable_voices(services: Services, caller: Caller) -> list[str]:
    """Return the names of the voices that a caller may speak in now."""
    names = []
    for row in services.registry.voices.list(caller):
        with contextlib.suppress(Error):  # its consent has ended, or is not enough here
            find_voices(services, caller, SpeechOrder("", row.name))
            names.append(row.name)
    return names


def describe(services: Services, caller: Caller) -> Info:
    """Return the answer to `describe`."""
    language = services.loader.config.language.partition("-")[0]
    program = TtsProgram(
        name="valle",
        attribution=_ATTRIBUTION,
        installed=True,
        description="Speech in voices whose owners have agreed",
        version=__version__,
        voices=[
            TtsVoice(
                name=name,
                attribution=_ATTRIBUTION,
                installed=True,
                description=name,
                version=None,
                languages=_SPELLINGS.get(language, [language]),
            )
            for name in list_usable_voices(services, caller)
        ],
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])
