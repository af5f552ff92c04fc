"""What decoders hear is what was encoded: every sample, in one piece, with one header."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

av = pytest.importorskip("av", reason="needs the extra [serve]")

from valle.errors import UsageError
from valle.server.encoders import MEDIA_TYPES, FileEncoder, SpeechEncoder, to_int16, wav_header

RATE = 24_000
LOSSLESS = ("pcm", "wav", "flac")
# What is in front of the first sample: LAME's and MPEG-4's delays, where the container states none.
DELAYS = {"mp3": 1105, "aac": 1024}


def make_speech(seconds: float = 1.7) -> np.ndarray:
    """Chirps that differ at every moment, and end abruptly, as a cut-off tail would."""
    time = np.arange(round(seconds * RATE)) / RATE
    sweep = np.sin(2 * np.pi * (150 * time + 120 * time**2))
    return (0.4 * sweep * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def encode(name: str, samples: np.ndarray, whole: bool, source_rate: int = RATE) -> bytes:
    encoder = SpeechEncoder(name, source_rate, RATE, whole)
    data = b""
    for start in range(0, len(samples), 5_000):
        data += encoder.feed(samples[start : start + 5_000])
    return data + encoder.finish()


def decode_by_ffmpeg(data: bytes) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    samples = np.concatenate(frames, axis=1)[0]
    if samples.dtype == np.int16:
        samples = samples / 32768
    return samples.astype(np.float32), rate


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_file_on_disk_is_what_it_would_be_in_memory(name: str, tmp_path: Path) -> None:
    speech = make_speech()
    with (tmp_path / "speech").open("w+b") as file:
        encoder = FileEncoder(name, RATE, file)
        for start in range(0, len(speech), 5_000):
            encoder.feed(speech[start : start + 5_000])
        encoder.finish()
        written = file.read()
    expected = encode(name, speech, True)
    if name == "opus":  # each stream of Ogg has a random number, and sums of it
        assert len(written) == len(expected)
        written, expected = (decode_by_ffmpeg(data)[0].tobytes() for data in (written, expected))
    assert written == expected


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_keep_every_sample(name: str, whole: bool) -> None:
    speech = make_speech()
    data = encode(name, speech, whole)
    if name == "pcm":
        decoded = np.frombuffer(data, "<i2")
    elif name == "wav":
        decoded = np.frombuffer(data[44:], "<i2")
    else:
        decoded = np.round(decode_by_ffmpeg(data)[0] * 32768).astype(np.int16)
    np.testing.assert_array_equal(decoded, to_int16(speech))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", ["mp3", "opus", "aac"])
def test_lossy_formats_keep_all_of_the_speech(name: str, whole: bool) -> None:
    speech = make_speech()
    decoded, rate = decode_by_ffmpeg(encode(name, speech, whole))
    expected = speech
    if name == "opus":  # always decoded at 48 kHz
        assert rate == 2 * RATE
        decoded = decoded[::2]
    else:
        assert rate == RATE
    delay = 0 if (whole and name == "mp3") else DELAYS.get(name, 0)
    if delay == 0:
        assert len(decoded) == len(expected)
    else:
        assert len(expected) + delay <= len(decoded) <= len(expected) + delay + 2 * 1152
    decoded = decoded[delay : delay + len(expected)]
    for part in (slice(None), slice(len(expected) - RATE // 20, None)):  # all, and the last 50 ms
        agreement = np.corrcoef(decoded[part], expected[part])[0, 1]
        assert agreement > 0.97, (name, whole, part)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "opus"])
def test_libsndfile_reads_whole_files_to_the_end(name: str) -> None:
    speech = make_speech()
    decoded, rate = soundfile.read(io.BytesIO(encode(name, speech, whole=True)))
    assert len(decoded) / rate == pytest.approx(len(speech) / RATE, abs=1e-9)


def test_wav_states_its_length_if_whole_and_leaves_it_open_in_a_stream() -> None:
    speech = make_speech(0.5)
    with wave.open(io.BytesIO(encode("wav", speech, whole=True))) as file:
        assert (file.getnframes(), file.getframerate()) == (len(speech), RATE)
    streamed = encode("wav", speech, whole=False)
    assert streamed[:44] == wav_header(RATE, None)
    assert streamed[4:8] == streamed[40:44] == b"\xff\xff\xff\xff"
    assert streamed.count(b"RIFF") == 1


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac"])
def test_bytes_come_while_speech_is_made(name: str) -> None:
    encoder = SpeechEncoder(name, RATE, RATE)
    sizes = [len(encoder.feed(make_speech(0.5))) for _ in range(4)]
    assert all(sizes), sizes


def test_resampled_streams_have_the_length_of_the_speech() -> None:
    speech = make_speech()[:16_000]  # as one second at 16 kHz
    for whole in (False, True):
        data = encode("pcm", speech, whole, source_rate=16_000)
        assert len(data) == 2 * RATE
    assert encode("pcm", speech, False, 16_000) == encode("pcm", speech, True, 16_000)


def test_mu_law_is_that_of_ffmpeg() -> None:
    speech = make_speech(0.5)
    encoder = SpeechEncoder("ulaw", 8_000, 8_000)
    ours = encoder.feed(speech) + encoder.finish()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mulaw") as container:
        stream = container.add_stream("pcm_mulaw", rate=8_000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(to_int16(speech)[None], format="s16", layout="mono")
        frame.sample_rate = 8_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    theirs = buffer.getvalue()
    assert np.mean(np.frombuffer(ours, np.uint8) == np.frombuffer(theirs, np.uint8)) > 0.97


def test_wrong_rates_and_formats_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="opus can have the rates 8000, 16000, 24000, 48000"):
        SpeechEncoder("opus", RATE, 44_100)
    with pytest.raises(UsageError, match="'m4a' is not known; use mp3"):
        SpeechEncoder("m4a", RATE, RATE)
    assert set(LOSSLESS) | {"mp3", "opus", "aac", "ulaw"} == set(MEDIA_TYPES)
