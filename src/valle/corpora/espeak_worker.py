"""A program that speaks with espeak-ng and reports phoneme times.

It runs in a separate process because espeak-ng keeps global state, which the parent's own use of
the library (text to phonemes) would disturb. A request is a line of JSON on standard input:

    {"voice": "text of a voice file", "rate": 175, "range": 50, "seed": 1, "text": "..."}

and the response is a line of JSON on standard output, then that many bytes of int16 samples:

    {"rate": 22050, "bytes": 1234, "events": [["phoneme" | "word", sample, "IPA"], ...]}

or {"error": "..."}. Every request is served by a fork of the freshly started program: espeak-ng's
wave tables carry state from one utterance to the next, so without the fork the same request would
not always give the same samples. A crash then also costs only one sentence.
"""

import ctypes
import json
import os
import signal
import sys
import tempfile
from typing import Any

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 1, 2, 0x8000
_UTF8 = 1
_RATE, _VOLUME, _RANGE = 1, 2, 4  # espeak_PARAMETER
_KINDS = {1: "word", 7: "phoneme"}  # espeak_EVENT_TYPE
_TIMEOUT = 20  # seconds; a sentence takes milliseconds
_VOLUME_PERCENT = 60  # at the default of 100, loud voices clip


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _speak(
    library: ctypes.CDLL, rate: int, request: dict[str, Any]
) -> tuple[dict[str, Any], bytes]:
    sound: list[bytes] = []
    events: list[tuple[str, int, str]] = []

    def receive(wave: Any, count: int, event: Any) -> int:
        if wave and count > 0:
            sound.append(ctypes.string_at(wave, count * 2))
        index = 0
        while event[index].type:
            kind = _KINDS.get(event[index].type)
            if kind:
                # All 8 bytes may be used, without a terminating zero.
                ipa = ctypes.string_at(ctypes.addressof(event[index].id), 8).split(b"\0")[0]
                ipa = ipa if kind == "phoneme" else b""
                events.append((kind, event[index].sample, ipa.decode("utf-8", "ignore")))
            index += 1
        return 0

    callback = _CALLBACK(receive)
    library.espeak_SetSynthCallback(callback)
    with tempfile.NamedTemporaryFile("w", suffix=".voice", encoding="utf-8") as voice:
        voice.write(request["voice"])
        voice.flush()
        if library.espeak_SetVoiceByFile(os.fsencode(voice.name)) != 0:
            return {"error": "espeak-ng refused the voice"}, b""
    library.espeak_ng_SetRandSeed(ctypes.c_long(request["seed"]))
    library.espeak_SetParameter(_RATE, request["rate"], 0)
    library.espeak_SetParameter(_RANGE, request["range"], 0)
    library.espeak_SetParameter(_VOLUME, _VOLUME_PERCENT, 0)
    text = request["text"].encode("utf-8", "ignore") + b"\0"
    if library.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None) != 0:
        return {"error": "espeak-ng could not speak the text"}, b""
    wave = b"".join(sound)
    return {"rate": rate, "bytes": len(wave), "events": events}, wave


def _answer(library: ctypes.CDLL, rate: int, line: str) -> None:
    """Speak in a fork and write its response, or an error if the fork failed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            signal.alarm(_TIMEOUT)
            head, wave = _speak(library, rate, json.loads(line))
            with os.fdopen(write, "wb") as out:
                out.write(json.dumps(head).encode() + b"\n" + wave)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as back:
        response = back.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        response = json.dumps({"error": f"espeak-ng stopped (status {status})"}).encode() + b"\n"
    sys.stdout.buffer.write(response)
    sys.stdout.buffer.flush()


def main(library_path: str, data_path: str) -> None:
    """Serve requests from standard input until it closes."""
    library = ctypes.CDLL(library_path)
    options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data_path), options)
    if rate <= 0:
        sys.exit(f"espeak-ng could not read its data at {data_path}")
    for line in sys.stdin:
        _answer(library, rate, line)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
