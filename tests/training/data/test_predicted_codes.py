"""Recordings' codes as the NAR has them, and a decoder that learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from synthetic_corpus import write_corpus  # noqa: E402
from valle.audio_format import HOP  # noqa: E402
from valle.bundle.bundle import Bundle  # noqa: E402
from valle.cli.main import main  # noqa: E402
from valle.corpora.store import Store  # noqa: E402
from valle.errors import UsageError  # noqa: E402
from valle.text.symbols import LISTENER_SYMBOLS  # noqa: E402
from valle.training.data.predicted_codes import write_predicted_codes  # noqa: E402
from valle.training.data.segments import SegmentSampler  # noqa: E402
from valle.training.models.listener import LISTENER_SIZES, Listener  # noqa: E402
from valle.training.models.sizes import NO_CODE  # noqa: E402
from valle.training.models.speaker import SPEAKER_SIZES, SpeakerEncoder  # noqa: E402
from valle.training.trainers import codec as train_codec  # noqa: E402
from valle.training.trainers.codec import CodecTrainer  # noqa: E402
from valle.training.trainers.loop import run  # noqa: E402

CLIPS = {"a": [150, 200], "b": [240], "short": [70]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_corpus(tmp_path / "corpus", CLIPS, words=4)


@pytest.fixture
def bundle(debug_bundle: Path) -> Bundle:
    return Bundle.load(debug_bundle, 1)


def said_of(store: Store, name: str) -> np.ndarray:
    assert store.spoken is not None
    return next(store.spoken[u.frames] for u in store.utterances if u.id == name)


def test_the_first_codebook_is_the_recordings_and_the_next_are_the_nars(
    store: Store, bundle: Bundle
) -> None:
    assert store.spoken is None
    count = write_predicted_codes(store, bundle, 30.0, quiet=True)
    store = Store(store.folder)
    assert store.spoken is not None and store.spoken.shape == store.codes.shape
    said = store.spoken[:, 0] >= 0
    assert said.sum() == count
    np.testing.assert_array_equal(store.spoken[said, 0], store.codes[said, 0])
    chosen = store.spoken[said, 1:]
    assert chosen.min() >= 0 and chosen.max() < NO_CODE
    assert (chosen != store.codes[said, 1:]).mean() > 0.9
    # Two recordings prompt one another; of a single one, the end prompts what comes before it.
    assert (said_of(store, "a/0")[:, 0] >= 0).all() and (said_of(store, "a/1")[:, 0] >= 0).all()
    alone = np.flatnonzero(said_of(store, "b/0")[:, 0] >= 0)
    assert alone[0] == 0 and 60 <= alone[-1] + 1 == len(alone) <= 240 - 75
    assert (said_of(store, "short/0") == -1).all()


def test_no_more_of_a_speaker_than_asked_for(store: Store, bundle: Bundle) -> None:
    write_predicted_codes(store, bundle, seconds=1.6, quiet=True)
    spoken = Store(store.folder).spoken
    assert spoken is not None
    by_name = {u.id: (spoken[u.frames, 0] >= 0).sum() for u in store.utterances}
    assert by_name["a/0"] + by_name["a/1"] == by_name["b/0"] == 80


def test_other_codes_end_them(store: Store, bundle: Bundle) -> None:
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    store.write_codes(np.array(store.codes))
    assert Store(store.folder).spoken is None


def test_where_there_is_too_little_it_is_said(tmp_path: Path, bundle: Bundle) -> None:
    store = write_corpus(tmp_path / "few", {"a": [70]}, words=4)
    with pytest.raises(UsageError, match=r"2\.7 s of clean"):
        write_predicted_codes(store, bundle, 30.0, quiet=True)
    assert store.spoken is None


def test_pieces_have_their_own_codes(store: Store, bundle: Bundle) -> None:
    assert not SegmentSampler([store], np.random.default_rng(0), 1.0).spoken
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    store = Store(store.folder)
    pieces = SegmentSampler([store], np.random.default_rng(0), 1.0)
    assert len(pieces.spoken) == 2  # speakers
    assert store.spoken is not None
    starts, recorded = set(), 0
    for _ in range(50):
        samples, codes, voice = pieces.sample_predicted()
        assert samples.shape == (50 * HOP,) and codes.shape == (50, 8)
        places = {
            (start, own)
            for own, rows in ((True, store.codes), (False, store.spoken))
            for start in np.flatnonzero((rows == codes[0]).all(1))
            if np.array_equal(codes, rows[start : start + 50])
        }
        ((start, own),) = places
        (place,) = (
            place
            for place, utterance in enumerate(store.utterances)
            if utterance.frames.start <= start < utterance.frames.stop
        )
        speaker = store.utterances[place].speaker
        speakers = [utterance.speaker for utterance in store.utterances]
        (whose,) = np.flatnonzero((store.voices == voice).all(1))
        assert speakers[whose] == speaker
        recorded += own
        sound = store.audio[start * HOP : (start + 50) * HOP].astype(np.float32) / 32768.0
        np.testing.assert_array_equal(samples, sound)
        starts.add(start)
    assert len(starts) > 20
    assert 0 < recorded < 25


def test_a_decoder_with_kept_codes_learns_from_them(
    store: Store, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "codec"
    run(CodecTrainer([store], folder, "debug", "cpu", 0), folder, steps=1, quiet=True)
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    store = Store(store.folder)
    job = CodecTrainer([store], folder, "debug", "cpu", 0, keep_codes=True)
    drawn = []
    monkeypatch.setattr(
        job.pieces,
        "sample_predicted",
        lambda draw=job.pieces.sample_predicted: drawn.append(draw()) or drawn[-1],
    )
    decoded = []
    decode = job.codec.decode_latents
    monkeypatch.setattr(
        job.codec, "decode_latents", lambda *x, takes: decoded.append(x) or decode(*x, takes=takes)
    )
    job.step(0, 0.0)
    assert 0 < len(drawn) < train_codec._BATCH
    ((latents, voices),) = decoded
    for _, codes, voice in drawn:
        wanted = job.codec.quantiser.decode(torch.from_numpy(codes))
        (place,) = (row for row, found in enumerate(latents) if torch.equal(found, wanted))
        assert torch.equal(voices[place], torch.from_numpy(voice))
    assert (voices == 0).all(1).sum() == len(latents) - len(drawn)  # recordings are nobody's
    # Codes of another codec teach nothing: one that still learns its own leaves them alone.
    fresh = CodecTrainer([store], tmp_path / "fresh", "debug", "cpu", 0)
    monkeypatch.setattr(fresh.pieces, "sample_predicted", None)
    fresh.step(0, 0.0)


def test_a_decoder_with_kept_codes_is_given_what_running_codes(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "codec"
    run(CodecTrainer([store], folder, "debug", "cpu", 0), folder, steps=1, quiet=True)
    job = CodecTrainer([store], folder, "debug", "cpu", 0, keep_codes=True)
    waveform = torch.randn(2, 10 * HOP, generator=torch.Generator().manual_seed(0))
    latents, commitment, codes = job._quantised(waveform, torch.tensor([8, 3]))
    assert commitment is None
    assert torch.equal(codes, job.codec.encode(waveform))
    whole, part = codes.clone()
    part[:, 3:] = job.codec.quantiser.codebook_size  # no code
    torch.testing.assert_close(latents, job.codec.quantiser.decode(torch.stack([whole, part])))


def test_what_the_nar_says_is_to_be_heard_as_the_recording_is(
    store: Store, bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "codec"
    run(CodecTrainer([store], folder, "debug", "cpu", 0), folder, steps=1, quiet=True)
    write_predicted_codes(store, bundle, 30.0, quiet=True)
    hearing = (
        SpeakerEncoder(SPEAKER_SIZES["debug"]),
        Listener(LISTENER_SIZES["debug"], len(LISTENER_SYMBOLS)),
    )
    before = [{n: w.clone() for n, w in each.state_dict().items()} for each in hearing]
    stores = [Store(store.folder)]
    plain, told = (
        CodecTrainer(stores, folder, "debug", "cpu", 0, keep_codes=True, hearing=each)
        for each in (None, hearing)
    )
    chance = torch.Generator().manual_seed(0)
    recorded, other = (torch.randn(2, 16_000, generator=chance) for _ in range(2))
    with torch.no_grad():
        voice = hearing[0](recorded)
        apart = torch.nn.functional.normalize(voice - hearing[0](other), dim=-1)

    def heard(made: torch.Tensor, of: torch.Tensor) -> tuple[float, dict[str, float]]:
        figures: dict[str, float] = {}
        return float(told._heard(made, recorded, of, figures)), figures

    loss, same = heard(recorded, voice)
    assert loss == pytest.approx(0.0, abs=1e-4)
    assert same == pytest.approx(
        {"likeness": 1.0, "likeness_recorded": 1.0, "unclear": 0.0}, abs=0.02
    )
    # As like the voice as the recording is, or more, is enough: nothing is left but what is said.
    loss, figures = heard(other, -voice)
    assert figures["likeness_recorded"] == pytest.approx(-1.0, abs=0.02)
    assert loss == pytest.approx(figures["unclear"], abs=1e-4) and loss > 0.1
    # Less like it is not.
    loss, figures = heard(other, apart)
    unlike = figures["likeness_recorded"] - figures["likeness"]
    assert unlike > 0.05 and loss == pytest.approx(unlike + figures["unclear"], abs=0.01)
    assert "likeness" not in plain.step(0, 0.0)
    figures = told.step(0, 0.0)
    assert -1.0 <= figures["likeness"] <= 1.0 and figures["unclear"] > 0.0
    weights = zip(plain.codec.decoder.parameters(), told.codec.decoder.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in weights)
    for model, weights_before in zip(hearing, before, strict=True):
        for name, now in model.state_dict().items():
            assert torch.equal(weights_before[name], now)


def test_by_one_command(
    store: Store, debug_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["prepare", "predicted", str(store.folder), "--bundle", str(debug_bundle)]
    assert main([*argv, "--seconds", "2", "-q"]) == 0
    assert "as the NAR has them" in capsys.readouterr().out
    assert Store(store.folder).spoken is not None
    assert main([*argv, "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err
