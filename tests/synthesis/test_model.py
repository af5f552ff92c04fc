"""Speaking from end to end with a tiny model: streams, seeds, lengths, enrolment, refusals."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from conftest import ATTEST, RATE
from valle.audio.recording import resample
from valle.bundle.bundle import Bundle
from valle.runtime.check import Check
from valle.runtime.recognizer import Listener
from valle.synthesis import model as synthesis
from valle.text.phonemes import to_sentences
from valle.text.symbols import BORDERS
from valle.trust import ledger
from valle.voices import registry
from valle.watermark.embed import Payload, mark

TEXT = "The house is green. It costs $123, or does it?"
WORDS = ["The", "house", "is", "green", "It", "costs", "$123", "or", "does", "it"]


@pytest.fixture(scope="module")
def speech(model: valle.Model, voice: valle.Voice) -> valle.Speech:
    return model.speak(TEXT, voice, redo=0, seed=3)


def test_speak_is_the_stream_joined(
    model: valle.Model, voice: valle.Voice, speech: valle.Speech
) -> None:
    pieces = list(model.stream(TEXT, voice, seed=3))
    assert len(pieces) > 2
    np.testing.assert_array_equal(np.concatenate([p.audio for p in pieces]), speech.audio)
    np.testing.assert_array_equal(np.concatenate([p.codes for p in pieces]), speech.codes)
    assert [word for p in pieces for word in p.words] == speech.words
    assert all(len(p.audio) == len(p.codes) * model.codec.hop for p in pieces)
    assert sum(p.check is not None for p in pieces) == 2  # one for each sentence


def marked(voice: valle.Voice, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """As speech in this voice is marked by the user's own key."""
    own = ledger.signer().watermark_key()
    return mark(samples, rate, own, Payload.of(own, voice.consent["id"]))


def test_the_audio_is_that_of_the_codes_in_the_voice(
    model: valle.Model, voice: valle.Voice, speech: valle.Speech
) -> None:
    assert speech.audio.dtype == np.float32 and speech.codes.dtype == np.int64
    assert speech.sample_rate == model.codec.sample_rate and np.isfinite(speech.audio).all()
    decoded = model.codec.decode(speech.codes, model.embedding(voice))
    wanted = marked(voice, decoded, model.sample_rate)
    np.testing.assert_allclose(wanted, speech.audio, atol=1e-5)
    assert np.abs(decoded - speech.audio).max() > 1e-3
    assert np.abs(decoded - model.codec.decode(speech.codes)).max() > 1e-3  # the voice is heard


def test_every_word_and_phoneme_is_said_in_order(speech: valle.Speech) -> None:
    assert [word.word for word in speech.words] == WORDS
    said = [p.symbol for p in speech.phonemes if p.symbol not in BORDERS]
    asked = [p.symbol for s in to_sentences(TEXT)[0] for p in s.phonemes]
    assert said == [symbol for symbol in asked if symbol not in BORDERS]
    for before, after in zip(speech.phonemes, speech.phonemes[1:], strict=False):
        assert before.start < before.end <= after.start
    assert speech.phonemes[-1].end <= speech.seconds + 1e-9
    for phoneme in speech.phonemes:
        assert 0 <= phoneme.text_start <= phoneme.text_end <= len(TEXT)
    house = next(p for p in speech.phonemes if p.symbol == "h")
    assert TEXT[house.text_start : house.text_end] == "house"


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    model: valle.Model, voice: valle.Voice, speech: valle.Speech, tmp_path: Path
) -> None:
    again, other = (model.speak(TEXT, voice, redo=0, seed=seed) for seed in (3, 4))
    for format in ("wav", "flac", "mp3"):
        one, two = tmp_path / f"one.{format}", tmp_path / f"two.{format}"
        speech.save(one)
        again.save(two)
        assert one.read_bytes() == two.read_bytes()
    assert other.codes.shape != speech.codes.shape or (other.codes != speech.codes).any()


def test_chances_of_a_sentence_do_not_hang_on_those_before_it(
    model: valle.Model, voice: valle.Voice
) -> None:
    one = model.speak("The house is green. Then it rains.", voice, redo=0)
    two = model.speak("A long word, and others too. Then it rains.", voice, redo=0)
    end = [next(w for w in s.words if w.word == "Then").start for s in (one, two)]
    tails = [s.codes[round(at * 50) :] for s, at in zip((one, two), end, strict=True)]
    np.testing.assert_array_equal(*tails)


def test_temperature_0_needs_no_seed(model: valle.Model, voice: valle.Voice) -> None:
    one, two = (model.speak("So be it.", voice, temperature=0, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(one.codes, two.codes)


@pytest.mark.parametrize("seconds", [2.0, 4.52, 8.0])
def test_a_wanted_duration_is_met(model: valle.Model, voice: valle.Voice, seconds: float) -> None:
    assert model.speak(TEXT, voice, redo=0, duration=seconds).seconds == pytest.approx(seconds)


def test_speed_makes_it_shorter_or_longer(model: valle.Model, voice: valle.Voice) -> None:
    slow, usual, fast = (
        model.speak(TEXT, voice, redo=0, speed=speed).seconds for speed in (0.5, 1.001, 1.6)
    )
    assert slow / usual == pytest.approx(2.0, rel=0.1)
    assert usual / fast == pytest.approx(1.6, rel=0.1)


def test_text_may_come_in_pieces(model: valle.Model, voice: valle.Voice) -> None:
    begun: list[str] = []

    def pieces() -> Iterator[str]:
        for piece in ("The house is gr", "een. It co", "sts $123, ", "or does it?"):
            begun.append(piece)
            yield piece

    stream = model.stream(pieces(), voice, seed=3)
    first = next(stream)
    assert len(begun) == 2  # the second sentence had begun, nothing more was needed
    joined = valle.Speech.join([first, *stream])
    whole = model.speak(TEXT, voice, redo=0, seed=3)
    np.testing.assert_array_equal(joined.audio, whole.audio)
    assert joined.phonemes == whole.phonemes


def test_what_cannot_be_said_is_reported(model: valle.Model, voice: valle.Voice) -> None:
    speech = model.speak("So be it. \U0001f980 Amen. \u4f60\u597d", voice, redo=0)
    assert [part.text for part in speech.skipped] == ["\U0001f980", "\u4f60\u597d"]
    assert [word.word for word in speech.words] == ["So", "be", "it", "Amen"]


class Ladder:
    """In the listener's place: finds the faults that were planned, and keeps what it was given."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        self.heard: list[NDArray[np.float32]] = []

    def __call__(self, samples: NDArray[np.float32], *asked: object) -> Check:
        self.heard.append(samples)
        rate = self.rates[len(self.heard) - 1]
        return Check(rate, ("it",) if rate > 0.2 else (), (), "", 0.5, 10)


@pytest.mark.parametrize(
    ("rates", "kept"), [([0.9, 0.1], 1), ([0.0], 0), ([0.5, 0.4, 0.7], 1), ([0.9, 0.8, 0.3], 2)]
)
def test_a_sentence_not_understood_is_said_again_and_the_best_is_kept(
    model: valle.Model,
    voice: valle.Voice,
    monkeypatch: pytest.MonkeyPatch,
    rates: list[float],
    kept: int,
) -> None:
    ladder = Ladder(rates)
    monkeypatch.setattr(model._listener, "check", ladder)
    speech = model.speak("So be it.", voice)
    assert len(ladder.heard) == len({one.tobytes() for one in ladder.heard}) == len(rates)
    assert speech.check is not None and speech.check.phoneme_error_rate == rates[kept]
    wanted = marked(voice, ladder.heard[kept], model.sample_rate)
    np.testing.assert_allclose(speech.audio, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("rates", "likenesses", "kept"),
    [
        ([0.1, 0.0, 0.2], [0.5, 0.8, 0.6], 1),
        ([0.1, 0.0, 0.2], [0.5, 0.3, 0.9], 2),  # a better voice for a few phonemes
        ([0.1, 0.9, 0.0, 0.2], [0.7, 1.0, 0.5, 0.5], 0),  # one missed a word, and does not count
    ],
)
def test_of_several_tries_the_clearest_and_most_like_the_voice_is_kept(
    model: valle.Model,
    voice: valle.Voice,
    monkeypatch: pytest.MonkeyPatch,
    rates: list[float],
    likenesses: list[float],
    kept: int,
) -> None:
    ladder = Ladder(rates)
    waiting = iter(likenesses)
    monkeypatch.setattr(model._listener, "check", ladder)
    monkeypatch.setattr(model._sayer, "likeness", lambda *given: next(waiting))
    speech = model.speak("So be it.", voice, best_of=3)
    assert speech.check is not None and speech.check.phoneme_error_rate == rates[kept]
    assert len(ladder.heard) == len(rates)


def test_tries_that_are_made_together_are_those_made_one_by_one(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    for together in (1, 2, synthesis.TOGETHER):
        monkeypatch.setattr(synthesis, "TOGETHER", together)
        ladder = Ladder([0.0] * 10)
        monkeypatch.setattr(model._listener, "check", ladder)
        model.speak("So be it. It is good.", voice, best_of=5)
        assert len(ladder.heard) == len({one.tobytes() for one in ladder.heard}) == 10
        heard.append([one.tobytes() for one in ladder.heard])
    assert heard[0] == heard[1] == heard[2]


def test_without_chance_there_is_one_try(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = Ladder([1.0])
    monkeypatch.setattr(model._listener, "check", ladder)
    speech = model.speak("So be it.", voice, temperature=0.0, best_of=3)
    assert speech.check is not None and not speech.check.passed and len(ladder.heard) == 1


def test_the_likeness_of_a_voice_is_the_cosine_of_embeddings(
    model: valle.Model, voice: valle.Voice, babble: NDArray[np.float32]
) -> None:
    reader = model._sayer.reader(voice)
    own = resample(voice.audio, voice.sample_rate, model.sample_rate)
    assert model._sayer.likeness(reader, own) == pytest.approx(1.0, abs=1e-5)
    assert model._sayer.likeness(reader, babble[: model.sample_rate]) < 1.0


def test_a_stream_reports_and_does_not_wait(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = Ladder([1.0])
    monkeypatch.setattr(model._listener, "check", ladder)
    stream = model.stream("The house is green, and it is a very old house, they say.", voice)
    next(stream)
    assert not ladder.heard
    assert [p.check.phoneme_error_rate for p in stream if p.check] == [1.0]


def test_saving_says_who_made_it(speech: valle.Speech, voice: valle.Voice, tmp_path: Path) -> None:
    speech.save(tmp_path / "said.flac")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["said.flac", "said.flac.json"]
    with soundfile.SoundFile(tmp_path / "said.flac") as file:
        assert file.frames == len(speech.audio) and file.samplerate == speech.sample_rate
        for part in ("valle", "Babble", "attested", voice.consent["id"]):
            assert part in file.comment
    record = json.loads((tmp_path / "said.flac.json").read_text())
    assert record["made_by"].startswith("valle ") and record["voice"] == "Babble"
    assert record["consent"] == {"kind": "attested", "id": voice.consent["id"]}
    assert record["options"]["seed"] == 3
    payload = Payload.of(ledger.signer().watermark_key(), voice.consent["id"])
    assert record["watermark"] == {"version": 1, "payload": f"{payload.bits:08x}"}
    assert record["samples_sha256"] == hashlib.sha256(speech.audio.tobytes()).hexdigest()
    json.dumps(speech.describe())  # plain values only


def test_a_save_that_fails_leaves_nothing(speech: valle.Speech, tmp_path: Path) -> None:
    (tmp_path / "taken.wav").mkdir()
    for target, error in (
        ("taken.wav", valle.OutputError),
        ("none/there.wav", valle.OutputError),
        ("speech.xyz", valle.UsageError),
    ):
        with pytest.raises(error):
            speech.save(tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.wav"]


def test_no_pieces_are_no_speech() -> None:
    with pytest.raises(valle.UsageError):
        valle.Speech.join([])


def test_recordings_are_taken_in_every_form(
    model: valle.Model, recording: Path, babble: NDArray[np.float32], voice: valle.Voice
) -> None:
    read, rate = soundfile.read(recording, dtype="float32")
    forms = [str(recording), recording, io.BytesIO(recording.read_bytes()), (read, rate), read]
    for form in forms:
        enrolled = model.enroll(form, name="Babble", attest=ATTEST)
        assert enrolled.to_bytes() == voice.to_bytes()


def test_a_voice_is_used_by_value_by_name_and_by_file(
    model: valle.Model, voice: valle.Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(voice)
    monkeypatch.chdir(tmp_path)
    voice.save("file.voice")
    ways = [voice, "Babble", "file.voice", Path("file.voice"), str(tmp_path / "file.voice")]
    said = {model.speak("So be it.", way, redo=0).audio.tobytes() for way in ways}
    assert len(said) == 1


def test_the_text_of_a_recording_labels_it(model: valle.Model) -> None:
    tone = np.sin(np.arange(2 * RATE, dtype=np.float32) / 20) / 4  # no silence to leave out
    enrolled = model.enroll((tone, RATE), ref_text="The house. Is green?", attest=ATTEST)
    assert "".join(enrolled.symbols) == "^ðə haʊs.ɪz ɡɹiːn?"
    assert max(enrolled.stress) == 2
    frames = len(enrolled.audio) / enrolled.sample_rate * 50
    assert abs(len(enrolled.frame_symbol) - frames) <= 1


def test_the_best_part_of_a_long_recording_keeps_its_part_of_the_text(
    model: valle.Model, babble: NDArray[np.float32]
) -> None:
    text = "The house is green, and it costs three. " * 6
    enrolled = model.enroll((np.tile(babble, 6), RATE), ref_text=text, attest=ATTEST)
    assert 8.0 <= enrolled.seconds <= 10.0
    assert any("was used" in warning for warning in enrolled.warnings)
    assert abs(len(enrolled.frame_symbol) - enrolled.seconds * 50) <= 1
    whole = model.enroll((np.tile(babble, 3), RATE), ref_text=text, attest=ATTEST)
    assert len(enrolled.symbols) < len(whole.symbols)
    assert model.speak("So be it.", enrolled, redo=0).seconds > 0


def test_text_that_does_not_fit_the_recording(model: valle.Model, recording: Path) -> None:
    with pytest.raises(valle.TextError, match="too many sounds"):
        model.enroll(recording, ref_text="The house is green. " * 40, attest=ATTEST)
    with pytest.raises(valle.TextError):
        model.enroll(recording, ref_text="...", attest=ATTEST)


@pytest.mark.parametrize("attest", [None, "", "  \n"])
def test_no_agreement_no_voice(model: valle.Model, recording: Path, attest: str | None) -> None:
    with pytest.raises(valle.ConsentError, match="--attest"):
        model.enroll(recording, attest=attest)


def test_agreement_is_given_in_one_way(model: valle.Model, recording: Path) -> None:
    with pytest.raises(valle.UsageError, match="not both"):
        model.enroll(recording, consent=recording, attest=ATTEST)
    with pytest.raises(valle.UsageError, match="--challenge goes with --consent"):
        model.enroll(recording, attest=ATTEST, challenge="0" * 16)
    with pytest.raises(valle.ConsentError, match="no challenge .*is open.*valle consent new"):
        model.enroll(recording, consent=recording)


def test_the_receipt_is_for_this_recording(voice: valle.Voice) -> None:
    assert voice.consent["kind"] == "attested" and voice.consent["statement"] == ATTEST
    assert len(voice.consent["id"]) == 64


def test_a_recording_without_speech(
    model: valle.Model, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(self: Listener, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        heads = np.full((2, -(-len(samples) // 320), 50), -9.0, np.float32)
        heads[0, :, 0] = heads[1, :, 1] = 0.0  # blank everywhere, and a pause
        return heads[0], heads[1]

    monkeypatch.setattr(Listener, "_heads", nothing)
    with pytest.raises(valle.RecordingError, match="no speech"):
        model.enroll(recording, attest=ATTEST)


@pytest.mark.parametrize("text", ["", "  \n ", "...!?", "\U0001f980\U0001f600", []])
def test_nothing_to_say(model: valle.Model, voice: valle.Voice, text: str | list[str]) -> None:
    with pytest.raises(valle.TextError):
        model.speak(text, voice)


def test_options_that_do_not_fit(model: valle.Model, voice: valle.Voice) -> None:
    refused: list[Callable[[], object]] = [
        lambda: model.stream("Hi.", voice, speed=2, duration=2),
        lambda: model.stream(["Hi."], voice, duration=2),
        lambda: model.stream("Hi.", voice, redo=-1),
        lambda: model.stream("Hi.", voice, sped=2),
        lambda: model.stream("Hi.", "nobody"),
        lambda: list(model.stream("A rather long sentence, this one.", voice, duration=0.1)),
    ]
    for call in refused:  # all but the last at once, before the first piece is asked for
        with pytest.raises(valle.UsageError):
            call()


def test_bundles_that_cannot_be_used(debug_bundle: Path, tmp_path: Path, recording: Path) -> None:
    with pytest.raises(valle.BundleError):
        valle.load(tmp_path / "none")
    altered = copied(debug_bundle, tmp_path / "altered")
    with (altered / "listener.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(valle.BundleError, match="listener.onnx"):
        valle.load(altered).enroll(recording, attest=ATTEST)


def copied(bundle: Path, to: Path) -> Path:
    to.mkdir()
    for file in bundle.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_another_order_of_symbols_is_the_bundles_own(model: valle.Model) -> None:
    config = model.bundle.config
    turned = (config.symbols[0], *reversed(config.symbols[1:]))
    other = synthesis.Model(
        Bundle(model.bundle.folder, config.model_copy(update={"symbols": turned}))
    )
    ids = other._sayer.symbols(["^", "h", "not one"], [0, 0, 0]).ids
    assert ids.tolist() == [turned.index("^"), turned.index("h"), 0]
