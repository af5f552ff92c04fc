"""Enrollment: recordings in every form, transcripts, consent."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from conftest import ATTEST, RATE
from valle.consent import challenge as challenges
from valle.consent import verification
from valle.runtime.alignment import Posteriors
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.symbols import LISTENER_SYMBOLS
from valle.voices import registry


def test_recording_is_accepted_in_every_form(
    model: valle.Model, recording: Path, voice: valle.Voice
) -> None:
    read, rate = soundfile.read(recording, dtype="float32")
    forms = [str(recording), recording, io.BytesIO(recording.read_bytes()), (read, rate), read]
    for form in forms:
        enrolled = model.enroll(form, name="Babble", attest=ATTEST)
        assert enrolled.to_bytes() == voice.to_bytes()


def test_text_is_not_used_for_a_long_recording(
    model: valle.Model, babble: NDArray[np.float32]
) -> None:
    enrolled = model.enroll((np.tile(babble, 21), RATE), ref_text="So be it.", attest=ATTEST)
    assert (
        enrolled.warnings[-2:]
        == (
            "the part from 0.0 s to 10.0 s was used",
            "the text was not used, since the recording is longer than 60 s",
        )
        or "was used" in enrolled.warnings[-2]
    )
    assert "the text was not used" in enrolled.warnings[-1]
    assert max(enrolled.stress) == 0  # so it was recognized


def test_transcript_labels_the_recording(model: valle.Model) -> None:
    tone = np.sin(np.arange(2 * RATE, dtype=np.float32) / 20) / 4  # no silence to leave out
    enrolled = model.enroll((tone, RATE), ref_text="The house. Is green?", attest=ATTEST)
    assert "".join(enrolled.symbols) == "^ðə haʊs.ɪz ɡɹiːn?"
    assert max(enrolled.stress) == 2
    frames = len(enrolled.audio) / enrolled.sample_rate * 50
    assert abs(len(enrolled.frame_symbol) - frames) <= 1


def test_excerpt_of_a_long_recording_keeps_its_part_of_the_transcript(
    model: valle.Model, babble: NDArray[np.float32]
) -> None:
    text = "The house is green, and it costs three. " * 6
    enrolled = model.enroll((np.tile(babble, 6), RATE), ref_text=text, attest=ATTEST)
    assert 8.0 <= enrolled.seconds <= 10.0
    assert any("was used" in warning for warning in enrolled.warnings)
    assert abs(len(enrolled.frame_symbol) - enrolled.seconds * 50) <= 1
    whole = model.enroll((np.tile(babble, 3), RATE), ref_text=text, attest=ATTEST)
    assert len(enrolled.symbols) < len(whole.symbols)
    assert model.speak("So be it.", enrolled, retries=0).seconds > 0


def test_transcript_that_does_not_fit_is_refused(model: valle.Model, recording: Path) -> None:
    with pytest.raises(valle.TextError, match="too many sounds"):
        model.enroll(recording, ref_text="The house is green. " * 40, attest=ATTEST)
    with pytest.raises(valle.TextError):
        model.enroll(recording, ref_text="...", attest=ATTEST)


@pytest.mark.parametrize("attest", [None, "", "  \n"])
def test_enrollment_without_consent_is_refused(
    model: valle.Model, recording: Path, attest: str | None
) -> None:
    with pytest.raises(valle.ConsentError, match="--attest"):
        model.enroll(recording, attest=attest)


@pytest.mark.parametrize("words", ["I was told that I may", "yes", "It is mine", ATTEST + " not"])
def test_attestation_in_other_words_is_refused(
    model: valle.Model, recording: Path, words: str
) -> None:
    with pytest.raises(valle.ConsentError, match=f'"{ATTEST}", not .*--i-hold-the-rights'):
        model.enroll(recording, attest=words)


def test_attestation_may_differ_in_case_and_spaces(model: valle.Model, recording: Path) -> None:
    voice = model.enroll(recording, attest=f" {ATTEST.upper()}.\n")
    assert voice.consent["statement"] == ATTEST
    assert voice.consent == model.enroll(recording, attest=ATTEST).consent


def test_receipt_names_the_voice(model: valle.Model, recording: Path) -> None:
    unnamed, ada, ben = (
        model.enroll(recording, name=name, attest=ATTEST) for name in (None, "Ada", "Ben")
    )
    assert "voice" not in unnamed.consent  # so that its speech is the same as ever
    assert ada.consent["voice"] == "Ada"
    assert len({voice.consent["id"] for voice in (unnamed, ada, ben)}) == 3


def test_consent_arguments_exclude_each_other(model: valle.Model, recording: Path) -> None:
    with pytest.raises(valle.UsageError, match="not both"):
        model.enroll(recording, consent=recording, attest=ATTEST)
    with pytest.raises(valle.UsageError, match="--challenge goes with --consent"):
        model.enroll(recording, attest=ATTEST, challenge="0" * 16)
    with pytest.raises(valle.UsageError, match="--speaker goes with --consent"):
        model.enroll(recording, attest=ATTEST, speaker="Ada")


def test_challenge_is_looked_up_by_the_speaker_or_else_by_the_name(
    model: valle.Model, recording: Path
) -> None:
    cases: list[tuple[dict[str, str], str]] = [
        ({}, " is"),
        ({"name": "ada-books"}, " for 'ada-books' is"),
        ({"name": "ada-books", "speaker": "Zoë Ada"}, " for 'Zoë Ada' is"),
    ]
    for arguments, speaker in cases:
        with pytest.raises(valle.ConsentError, match=f"no challenge{speaker}"):
            model.enroll(recording, consent=recording, **arguments)


def test_voice_may_have_another_name_than_its_speaker(
    model: valle.Model, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = SimpleNamespace(find_faults=list, as_dict=dict)  # no faults
    monkeypatch.setattr(verification, "score", lambda *_: scores)
    statement = challenges.create("Zoë Núñez")
    assert statement.text.startswith("My name is Zoë Núñez. I agree")
    voice = model.enroll(recording, name="王小明", speaker="Zoe\u0308 Núñez", consent=recording)
    assert voice.name == "王小明"
    assert voice.consent["speaker"] == "Zoë Núñez"
    registry.add(voice)
    assert model.speak("So be it.", "王小明", retries=0).provenance["voice"] == "王小明"


def test_receipt_has_the_attestation(voice: valle.Voice) -> None:
    assert voice.consent["kind"] == "attested"
    assert voice.consent["statement"] == ATTEST
    assert len(voice.consent["id"]) == 64


def test_recording_without_speech_is_refused(
    model: valle.Model, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hear_nothing(_: PhonemeRecognizer, samples: NDArray[np.float32]) -> Posteriors:
        heads = np.full((2, -(-len(samples) // 320), len(LISTENER_SYMBOLS)), -9.0, np.float32)
        heads[0, :, 0] = heads[1, :, 1] = 0.0  # blank everywhere, and a pause
        return Posteriors(heads[0], heads[1], LISTENER_SYMBOLS)

    monkeypatch.setattr(PhonemeRecognizer, "compute_posteriors", hear_nothing)
    with pytest.raises(valle.RecordingError, match="no speech"):
        model.enroll(recording, attest=ATTEST)
