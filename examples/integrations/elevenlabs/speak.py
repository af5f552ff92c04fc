"""Speak with ElevenLabs' own package: stream to a file, and print when each word begins.

python examples/integrations/elevenlabs/speak.py --url http://127.0.0.1:8000 --voice Ada "Hello."
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

from elevenlabs import ElevenLabs


def main() -> None:
    """Speak a text in a voice of the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of valle serve")
    parser.add_argument("--key", default="unused", help="API key, if the server needs one")
    parser.add_argument("--voice", required=True, help="name or id of a voice")
    parser.add_argument("-o", "--output", type=Path, default=Path("elevenlabs.mp3"))
    options = parser.parse_args()
    client = ElevenLabs(base_url=options.url, api_key=options.key)
    pieces = client.text_to_speech.stream_with_timestamps(
        voice_id=options.voice, text=options.text, output_format="mp3_44100_128"
    )
    word, begin = "", 0.0
    with options.output.open("wb") as file:
        for piece in pieces:
            file.write(base64.b64decode(piece.audio_base_64))
            times = piece.alignment
            if times is None:
                continue
            starts = times.character_start_times_seconds
            for character, start in zip(times.characters, starts, strict=True):
                if character.isspace():
                    if word:
                        print(f"{begin:6.2f} s  {word}")
                    word = ""
                else:
                    begin = begin if word else start
                    word += character
    if word:
        print(f"{begin:6.2f} s  {word}")


if __name__ == "__main__":
    main()
