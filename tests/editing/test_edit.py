"""`valle edit`: the rest of a recording stays as it was, and what makes no sense is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from valle.audio.recording import resample
from valle.cli.main import main
from valle.editing.changes import Change, delete_words, replace_words
from valle.editing.edit import edit_recording
from valle.editing.options import EditOptions
from valle.errors import ConsentError, UsageError
from valle.runtime.transcript import TimedSentence, TimedTranscript
from valle.text.segmentation import split_sentences
from valle.trust import ledger
from valle.watermark.detect import detect_watermark

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "voice.wav"
TEXT = (
    "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    "Shall we walk down to the river?"
)
ATTEST = "I hold the rights to this voice"


@pytest.fixture(scope="module")
def trained() -> valle.Model:
    return valle.load(threads=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stereo recording of 24 bits at 48 kHz, louder on the left, and what it says."""
    monkeypatch.chdir(tmp_path)
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    wide = resample(samples, rate, 48_000)
    soundfile.write("talk.wav", np.stack([wide, 0.4 * wide], axis=1), 48_000, subtype="PCM_24")
    Path("talk.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def run(*words: str) -> int:
    return main(["edit", "talk.wav", "--text", "talk.txt", "--attest", ATTEST, *words])


def read(name: str) -> NDArray[np.int32]:
    samples: NDArray[np.int32] = soundfile.read(name, dtype="int32", always_2d=True)[0]
    return samples


def test_words_are_replaced_and_the_rest_is_bit_exact(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = Path("talk.wav").read_bytes()
    argv = ["--replace", "the garden", "our kitchen", "--json", "--best-of", "2", "-o", "new.wav"]
    assert run(*argv, "--plot", "new.png") == 0
    report = json.loads(capsys.readouterr().out)
    assert Path("talk.wav").read_bytes() == before
    assert soundfile.info("new.wav").subtype == "PCM_24"
    (span,) = report["edits"]
    old, new = read("talk.wav"), read("new.wav")
    start, end = (round(second * 48_000) for second in span["now"])
    np.testing.assert_array_equal(new[:start], old[:start])
    np.testing.assert_array_equal(new[end:], old[len(old) - (len(new) - end) :])
    assert 2.0 < span["was"][0] < span["was"][1] < 3.2
    assert report["text"] == TEXT.replace("the garden", "our kitchen")
    left, right = new[start:end].astype(float).std(axis=0)
    assert right == pytest.approx(0.4 * left, rel=0.1)
    assert Path("new.png").stat().st_size > 1000
    assert main(["verify", "new.wav"]) == 0
    record = json.loads(Path("new.wav.json").read_text())
    assert record["edits"] == report["edits"]
    assert record["consent"]["kind"] == "attested"
    assert record["watermark"]["payload"].endswith(record["consent"]["id"][:4])
    assert run(*argv) == 7  # exists already
    assert main(["ledger", "verify"]) == 0


def test_words_are_deleted_and_chosen_by_occurrence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--delete", "and") == 4
    message = capsys.readouterr().err
    assert "'and' occurs 2 times: 1 at 2." in message
    assert "--occurrence" in message
    assert not Path("talk-edited.wav").exists()
    assert run("--delete", "and warm earth", "--json") == 0
    (span,) = json.loads(capsys.readouterr().out)["edits"]
    old, new = read("talk.wav"), read("talk-edited.wav")
    assert len(old) - len(new) > 0.4 * 48_000
    end = round(span["now"][1] * 48_000)
    np.testing.assert_array_equal(new[end:], old[len(old) - (len(new) - end) :])
    assert json.loads(Path("talk-edited.wav.json").read_text())["watermark"] is None


def test_differences_to_a_new_transcript_are_spoken(
    trained: valle.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    new = TEXT.replace("garden", "meadow").replace("walk down", "walk slowly down")
    Path("new.txt").write_text(new, encoding="utf-8")
    assert run("--transcript", "new.txt", "--best-of", "1", "--json", "-o", "new.flac") == 0
    report = json.loads(capsys.readouterr().out)
    assert [(e["removed"], e["added"]) for e in report["edits"]] == [
        ("garden", "meadow"),
        ("", "slowly"),
    ]
    samples, rate = soundfile.read("new.flac", dtype="float32")
    transcript = trained.align((samples, rate), new)
    assert all(word.start is not None for word in transcript.words)


def test_new_speech_is_watermarked(trained: valle.Model) -> None:
    voice = trained.enroll("talk.wav", name="Ada", attest=ATTEST)
    transcript = trained.align("talk.wav", TEXT)
    words = (
        "the big old house on the hill with its seven tall chimneys and a wide green door that "
        "nobody ever opens before noon"
    )
    change = replace_words(transcript, "the garden", words)
    options = EditOptions.from_keywords(best_of=1)
    edited = edit_recording(trained, "talk.wav", transcript, [change], voice, options)
    (span,) = edited.spans
    start, end = (round(second * 48_000) for second in span.now)
    mono = edited.samples.mean(axis=1)
    key = ledger.get_signing_key().derive_watermark_key()
    assert detect_watermark(mono[start:end], 48_000, key).found
    assert not detect_watermark(mono[:start], 48_000, key).found


def test_another_voice_is_refused(trained: valle.Model) -> None:
    rng = np.random.default_rng(0)
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    lower = resample(samples, rate, 22_000)  # played slowly at 16 kHz: a much deeper voice
    noisy = (lower + 1e-4 * rng.standard_normal(len(lower))).astype(np.float32)
    other = trained.enroll((noisy, rate), name="Deep", attest=ATTEST)
    transcript = trained.align("talk.wav", TEXT)
    change = delete_words(transcript, "warm")
    with pytest.raises(ConsentError, match="Deep is not the one in the recording"):
        edit_recording(trained, "talk.wav", transcript, [change], other)
    with pytest.raises(UsageError, match="another recording"):
        edit_recording(trained, (samples[:rate], rate), transcript, [change], other)
    with pytest.raises(UsageError, match="nothing to change"):
        edit_recording(trained, "talk.wav", transcript, [], other)


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ([], 2, "say what to change in one way"),
        (["--delete", "and", "--insert", "x", "--after", "and"], 2, "in one way"),
        (["--insert", "slowly"], 2, "--insert WORDS and --after WORDS go together"),
        (["--replace", "garden", " "], 2, "must not be empty"),
        (["--delete", "elephant"], 4, "'elephant' is not in the text"),
        (["--delete", "warm", "--best-of", "0"], 2, "--best-of"),
        (["--delete", "warm", "-o", "talk.wav", "--force"], 7, "would be lost"),
        (["--delete", "warm", "-o", "new.txt"], 2, "cannot tell the format"),
        (["--replace", "garden", "***!"], 4, "empty"),
        (["--transcript", "talk.txt"], 4, "the same words"),
    ],
)
def test_what_makes_no_sense_is_refused_and_writes_nothing(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("talk.wav").read_bytes()
    assert run(*argv) == code
    assert message in capsys.readouterr().err
    assert Path("talk.wav").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["talk.txt", "talk.wav"]


def test_consent_is_needed_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", "talk.wav", "--text", "talk.txt", "--delete", "warm"]) == 6
    assert "needs its owner's consent" in capsys.readouterr().err


def test_edges_without_sound_are_refused(trained: valle.Model) -> None:
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    cut = samples[loud[0] : loud[-1] + 1]
    voice = trained.enroll((cut, rate), name="Cut", attest=ATTEST)
    transcript = trained.align((cut, rate), TEXT)
    last = len(transcript.words)
    for change, message in ((Change(0, 1, "Fine"), "begins"), (Change(last, last, "now"), "ends")):
        with pytest.raises(valle.RecordingError, match=message):
            edit_recording(trained, (cut, rate), transcript, [change], voice)


def test_words_that_are_not_said_are_refused(trained: valle.Model) -> None:
    text = TEXT + " Purple elephants dance around seven umbrellas tonight."
    voice = trained.enroll("talk.wav", name="Ada", attest=ATTEST)
    transcript = trained.align("talk.wav", text)
    change = replace_words(transcript, "umbrellas", "hats")
    with pytest.raises(valle.TextError, match="not heard in the recording"):
        edit_recording(trained, "talk.wav", transcript, [change], voice)


def test_random_models_edit_too(
    model: valle.Model, voice: valle.Voice, babble: NDArray[np.float32], tmp_path: Path
) -> None:
    """The tiny bundle: whatever its models say, the rest of the recording stays."""
    sentences = split_sentences("One two three.")[0]
    count = len(sentences[0].phonemes)
    frames = np.full(count, 8)
    frames[0] += 150 - frames.sum()  # silence before the first word, 3 s in all
    starts = np.cumsum(frames) - frames
    timed = TimedSentence(sentences[0], starts, frames, np.ones(count, np.float32))
    transcript = TimedTranscript("One two three.", [timed], 50.0, 3.0)
    change = Change(1, 2, "seven")
    lexicon = tmp_path / "words.csv"
    lexicon.write_text("xyz, win\n")
    options = EditOptions.from_keywords(lexicon=str(lexicon))
    edited = edit_recording(model, (babble, 16_000), transcript, [change], voice, options)
    assert edited.provenance["options"]["lexicon"] == "words.csv"  # without its folder
    (span,) = edited.spans
    start, end = (round(second * 16_000) for second in span.now)
    np.testing.assert_array_equal(edited.samples[:start, 0], babble[:start])
    after = edited.samples[end:, 0]
    np.testing.assert_array_equal(after, babble[len(babble) - len(after) :])
