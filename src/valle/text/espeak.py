"""espeak-ng through ctypes: text in, IPA out.

The library keeps global state (one voice, one text at a time), so every call holds one lock. It is
loaded at the first call, never at import.
"""

from __future__ import annotations

import ctypes
import os
import threading
from functools import lru_cache

import espeakng_loader

_RETRIEVAL = 1  # AUDIO_OUTPUT_RETRIEVAL: no sound device is opened
_DONT_EXIT = 0x8000  # on a bad installation return a code; the default ends the process
_UTF8 = 1
_IPA = 0x02
_SEPARATOR = "_"  # between phonemes; espeak's own IPA never contains it

_lock = threading.Lock()
_voice: str | None = None


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """Load and initialize the library; call with the lock held."""
    data = os.fspath(espeakng_loader.get_data_path())
    if not os.path.isdir(data):  # espeak would print to stderr and continue without phonemes
        raise RuntimeError(f"espeak-ng's data is missing at {data}; reinstall espeakng-loader")
    library = ctypes.CDLL(os.fspath(espeakng_loader.get_library_path()))
    library.espeak_Initialize.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    if library.espeak_Initialize(_RETRIEVAL, 0, os.fsencode(data), _DONT_EXIT) <= 0:
        raise RuntimeError(f"espeak-ng could not read its data at {data}")
    return library


def phonemize(text: str, language: str = "en-us") -> list[list[str]]:
    """Return the phonemes of `text` as espeak-ng pronounces it.

    Args:
        text: Any text; it is read in UTF-8, and characters that UTF-8 lacks are left out.
        language: Name of an espeak-ng voice.

    Returns:
        For each word that espeak pronounces, its IPA units. A unit is one phoneme of espeak's
        table, after its stress mark if it has one: "ˈeɪ", "tʃ", "ɔːɹ". espeak joins some words
        ("of the" is one) and splits others, so there may be more or fewer words than in `text`.

    Raises:
        ValueError: espeak-ng has no such language.
    """
    global _voice
    buffer = ctypes.create_string_buffer(text.replace("\0", " ").encode("utf-8", "ignore"))
    position = ctypes.c_void_p(ctypes.addressof(buffer))
    clauses: list[str] = []
    with _lock:
        library = _library()
        if _voice != language:
            if library.espeak_SetVoiceByName(language.encode()) != 0:
                raise ValueError(f"espeak-ng has no voice for the language {language!r}")
            _voice = language
        mode = _IPA | ord(_SEPARATOR) << 8
        while position.value:  # one clause per call; the last call leaves a null pointer
            clause = library.espeak_TextToPhonemes(ctypes.byref(position), _UTF8, mode)
            clauses.append((clause or b"").decode("utf-8", "ignore"))
    return [
        [unit for unit in word.split(_SEPARATOR) if unit]
        for clause in clauses
        for word in clause.split()
    ]
