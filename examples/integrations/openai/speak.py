"""Speak with OpenAI's own package, and write the sound while it comes.

python examples/integrations/openai/speak.py --url http://127.0.0.1:8000 --voice Ada "Hello."
"""

from __future__ import annotations

import argparse
from pathlib import Path

from openai import OpenAI


def main() -> None:
    """Speak a text in a voice of the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of valle serve")
    parser.add_argument("--key", default="unused", help="API key, if the server needs one")
    parser.add_argument("--voice", required=True, help="name or id of a voice")
    parser.add_argument("-o", "--output", type=Path, default=Path("openai.mp3"))
    options = parser.parse_args()
    client = OpenAI(base_url=f"{options.url}/v1", api_key=options.key)
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice=options.voice, input=options.text
    ) as speech:
        speech.stream_to_file(options.output)


if __name__ == "__main__":
    main()
