"""ElevenLabs' own package, unchanged, against our server."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

elevenlabs = pytest.importorskip("elevenlabs", reason="needs the package elevenlabs")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from elevenlabs.core import ApiError

TEXT = "Hello there. This is the second sentence."


def connect(url: str):
    return elevenlabs.ElevenLabs(base_url=url, api_key="unused")


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of this computer, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def test_speech_whole_and_streamed(serve: Callable, stored_voice: str) -> None:
    client = connect(serve().url)
    (voice,) = client.voices.get_all().voices
    assert voice.name == stored_voice
    assert client.voices.search().total_count == 1
    speak = client.text_to_speech
    fields = {"voice_id": voice.voice_id, "text": TEXT, "model_id": "eleven_multilingual_v2"}
    whole = b"".join(speak.convert(**fields, output_format="pcm_24000"))
    assert b"".join(speak.stream(**fields, output_format="pcm_24000")) == whole
    assert np.abs(np.frombuffer(whole, "<i2")).max() > 100
    assert len(b"".join(speak.convert(**fields))) > 5000


def test_times_of_characters(serve: Callable, stored_voice: str) -> None:
    speak = connect(serve().url).text_to_speech
    fields = {"voice_id": stored_voice, "text": TEXT, "output_format": "pcm_16000"}
    whole = speak.convert_with_timestamps(**fields)
    assert "".join(whole.alignment.characters) == TEXT
    pieces = [
        piece.alignment for piece in speak.stream_with_timestamps(**fields) if piece.alignment
    ]
    assert [c for piece in pieces for c in piece.characters] == whole.alignment.characters
    streamed = [t for piece in pieces for t in piece.character_start_times_seconds]
    assert streamed == pytest.approx(whole.alignment.character_start_times_seconds, abs=0.02)


def test_errors_are_its_own(serve: Callable, stored_voice: str) -> None:
    speak = connect(serve().url).text_to_speech
    for voice, text, status in (("Nobody", TEXT, 404), (stored_voice, " ", 400)):
        with pytest.raises(ApiError) as caught:
            b"".join(speak.convert(voice_id=voice, text=text))
        assert caught.value.status_code == status
        assert caught.value.body["detail"]["message"]


def test_text_is_spoken_while_it_is_written(
    serve_securely: Callable, stored_voice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = serve_securely(certificate, key)
    speak = connect(server.url).text_to_speech
    words = iter(["Hello ", "there. ", "This is ", "the second ", "sentence."])
    sound = b"".join(
        speak.convert_realtime(voice_id=stored_voice, text=words, output_format="pcm_24000")
    )
    assert np.abs(np.frombuffer(sound, "<i2")).max() > 100
    with pytest.raises(ApiError, match="no voice 'Nobody'"):
        b"".join(speak.convert_realtime(voice_id="Nobody", text=iter(["Hello."])))
