"""The detector from training to verdict, on models that nobody had to train long."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from command_line import did, refused  # noqa: E402
from valle.bundle.bundle import Bundle  # noqa: E402
from valle.cli.main import main  # noqa: E402
from valle.consent import verification  # noqa: E402
from valle.corpora import augmentation, channel, detector_store  # noqa: E402
from valle.corpora.griffin_lim import griffin_lim  # noqa: E402
from valle.corpora.split import is_held  # noqa: E402
from valle.corpora.store import Store, StoreWriter  # noqa: E402
from valle.detection.detector import KINDS, _chunks, judge  # noqa: E402
from valle.errors import UsageError  # noqa: E402
from valle.evaluation.protocols import detector as evaluation  # noqa: E402
from valle.training.checkpoints import load_detector  # noqa: E402
from valle.training.export.bundle import add_detector, export_bundle, random_models  # noqa: E402
from valle.training.export.import_bundle import import_bundle  # noqa: E402
from valle.training.models.detector import DETECTOR_SIZES, Detector  # noqa: E402
from valle.training.trainers.detector import HELD_ONE_IN, DetectorJob  # noqa: E402
from valle.watermark.detect import detect as detect_mark  # noqa: E402

RATE = 16000
Samples = NDArray[np.float32]


def certain(kind: str, by: float = 3.0) -> Detector:
    """A detector that always says the same: its log odds over the other two kinds are `by`."""
    detector = Detector(DETECTOR_SIZES["debug"])
    with torch.no_grad():
        detector.output.weight.zero_()
        detector.output.bias.zero_()
        detector.output.bias[KINDS.index(kind)] = by
    return detector


def with_detector(debug_bundle: Path, folder: Path, detector: Detector) -> Bundle:
    shutil.copytree(debug_bundle, folder)
    add_detector(Bundle.load(folder), detector, "fp32")
    return Bundle.load(folder, threads=1)


def test_the_graph_says_what_the_model_says(
    debug_bundle: Path, tmp_path: Path, babble: Samples
) -> None:
    torch.manual_seed(3)
    detector = Detector(DETECTOR_SIZES["debug"])
    with torch.no_grad():
        for weight in detector.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    bundle = with_detector(debug_bundle, tmp_path / "b", detector)
    verdict = judge(bundle, babble, RATE)
    assert verdict is not None
    with torch.no_grad():
        seconds, whole = detector(torch.from_numpy(babble)[None])
    np.testing.assert_allclose(verdict.seconds, seconds[0].softmax(-1).numpy(), atol=2e-4)
    np.testing.assert_allclose(
        list(verdict.whole.values()), whole[0].softmax(-1).numpy(), atol=2e-4
    )
    assert verdict.seconds.shape == (3, 3) and np.ptp(verdict.seconds, axis=0).max() > 1e-4
    softer = judge(bundle, 0.1 * babble, RATE)
    assert softer is not None
    np.testing.assert_allclose(softer.seconds, verdict.seconds, atol=2e-3)


def test_other_graphs_stay_byte_for_byte(debug_bundle: Path, tmp_path: Path) -> None:
    bundle = with_detector(debug_bundle, tmp_path / "b", certain("made"))
    bundle.verify()
    for name, graph in Bundle.load(debug_bundle).config.graphs.items():
        assert bundle.config.graphs[name] == graph
        assert (bundle.folder / graph.file).read_bytes() == (debug_bundle / graph.file).read_bytes()


def test_a_known_verdict_and_its_temperature(
    debug_bundle: Path, tmp_path: Path, babble: Samples
) -> None:
    detector = certain("made", by=3.0)
    with torch.no_grad():
        detector.log_temperature.copy_(torch.tensor([0.0, math.log(2.0)]))
    verdict = judge(with_detector(debug_bundle, tmp_path / "b", detector), babble, RATE)
    assert verdict is not None and verdict.kind == "made"
    # Of a second e^3 against 1 and 1; of the whole, at twice the temperature, e^1.5.
    second, whole = (math.exp(x) / (math.exp(x) + 2) for x in (3.0, 1.5))
    np.testing.assert_allclose(verdict.seconds[:, 2], second, atol=1e-4)
    assert verdict.whole["made"] == pytest.approx(whole, abs=1e-4)


def test_consent_asks_the_detector(debug_bundle: Path, tmp_path: Path, babble: Samples) -> None:
    made = verification.made_speech(
        with_detector(debug_bundle, tmp_path / "m", certain("made")), babble
    )
    real = verification.made_speech(
        with_detector(debug_bundle, tmp_path / "r", certain("real")), babble
    )
    assert made is not None and real is not None
    assert real < 0.1 < 0.9 < made  # e^3 against 1 and 1
    assert real < verification.MADE_SPEECH_LIMIT < made
    assert verification.made_speech(Bundle.load(debug_bundle), babble) is None


def test_detect_says_it(
    debug_bundle: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = with_detector(debug_bundle, tmp_path / "b", certain("made"))
    asked = ("detect", str(recording), "--bundle")
    assert main([*asked, str(bundle.folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["detector"]
    assert facts["checked"] and facts["kind"] == "made" and "cannot_know" in facts
    assert len(facts["seconds"]) == 3 and facts["probability"]["made"] > 0.9
    assert main([*asked, str(bundle.folder)]) == 0
    assert "detector:   sounds made" in capsys.readouterr().out
    assert main([*asked, str(debug_bundle)]) == 0
    assert "detector:   not checked: this bundle has no model" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    pictures = [tmp_path / "with.png", tmp_path / "without.png"]
    for folder, picture in zip((bundle.folder, debug_bundle), pictures, strict=True):
        assert main([*asked, str(folder), "--picture", str(picture)]) == 0
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.05, 1.5, 19.9, 20.0, 29.0, 61.25])
def test_every_sample_is_heard(seconds: float) -> None:
    samples = np.arange(round(seconds * RATE), dtype=np.float32)
    chunks = _chunks(samples)
    assert all(len(chunk) and len(chunk) % RATE == 0 for chunk in chunks)
    assert max(map(len, chunks)) <= 30 * RATE
    heard = np.unique(np.concatenate(chunks))
    # Less than a tenth of a second at the end may go unheard.
    assert len(samples) - len(heard) < RATE / 10


def test_a_channel_keeps_length_and_speech(babble: Samples) -> None:
    for seed in range(12):
        heard = channel.channel(babble, np.random.default_rng(seed))
        assert heard.shape == babble.shape and heard.dtype == np.float32
        assert np.isfinite(heard).all() and np.abs(heard).max() > 1e-3
    few = channel.coded(babble, "OPUS", 1.0)
    many = channel.coded(babble, "OPUS", 0.5)
    errors = [np.abs(coded - babble).mean() for coded in (few, many)]
    assert 0 < errors[1] < errors[0]


def test_griffin_lim_keeps_the_spectrum_and_not_the_waveform(babble: Samples) -> None:
    again = griffin_lim(babble, np.random.default_rng(0))
    assert again.shape == babble.shape

    def spectrum(samples: Samples) -> NDArray[np.float64]:
        windows = np.lib.stride_tricks.sliding_window_view(samples, 512)[::128]
        return np.log(np.abs(np.fft.rfft(windows * np.hanning(512))[:, 5:60]).mean(axis=0))

    assert np.corrcoef(spectrum(again), spectrum(babble))[0, 1] > 0.9
    assert abs(np.corrcoef(again, babble)[0, 1]) < 0.9


def speakers(held: bool, count: int) -> list[str]:
    names = (f"speaker {number}" for number in range(1000))
    return [name for name in names if is_held("detector", name, HELD_ONE_IN) == held][:count]


def write_material(folder: Path, made: bool) -> Store:
    writer = StoreWriter(folder)
    rng = np.random.default_rng(int(made))
    for speaker in speakers(False, 3) + speakers(True, 2):
        samples = (0.1 * rng.standard_normal(2 * RATE)).astype(np.float32)
        corpus = "made-valle" if made else "test"
        writer.add(speaker, corpus, speaker, samples, "x", waveform_is_clean=True, made=made)
    writer.close()
    return Store(folder)


def test_the_material_and_a_short_training(
    debug_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_material(tmp_path / "real", False)
    write_material(tmp_path / "own", True)
    data = [word for name in ("real", "own") for word in ("--data", tmp_path / name)]
    store = tmp_path / "detector"
    did("prepare", "detector", store, *data, "--bundle", debug_bundle, "--minutes", 0.15, "-q")
    utterances = Store(store).utterances
    assert {u.corpus for u in utterances} == {
        "real/test",
        "re-encoded/8",
        "re-encoded/4",
        "made/griffin-lim",
        "made/valle",
    }
    assert all(u.made == u.corpus.startswith("made/") for u in utterances)
    # Four of the five real pieces at least would have to be drawn again for one to come twice.
    assert len([u for u in utterances if u.corpus == "real/test"]) == 5
    train = ("train", "detector", "--runs", tmp_path / "runs", "--size", "debug", "--threads", 1)
    lacks = refused(capsys, *train, "--data", tmp_path / "real", "--steps", 1, "-q")
    assert "valle prepare detector" in lacks
    did(*train, "--data", full_store(tmp_path / "full"), "--steps", 2, "-q")
    before = load_detector(tmp_path / "runs" / "detector").output.weight.clone()
    did(*train, "--data", tmp_path / "full", "--steps", 3, "-q")
    after = load_detector(tmp_path / "runs" / "detector").output.weight
    assert not torch.equal(before, after)


def full_store(folder: Path) -> Path:
    """Every kind by every speaker, each a sound of its own that is told at once."""
    writer = StoreWriter(folder)
    rng = np.random.default_rng(0)
    time = np.arange(4 * RATE) / RATE
    for speaker in speakers(False, 3) + speakers(True, 2):
        pitch = rng.uniform(80, 300)
        kinds = {
            "real/test": rng.standard_normal(len(time)) * (np.sin(9 * time) > 0),
            "re-encoded/8": np.sign(np.sin(2 * np.pi * pitch * time)),
            "made/valle": np.sin(2 * np.pi * (pitch + 2000 * np.sin(5 * time)) * time),
        }
        for corpus, samples in kinds.items():
            clip = (0.1 * samples).astype(np.float32)
            writer.add(f"{speaker} {corpus}", corpus, speaker, clip, None, waveform_is_clean=False)
    writer.close()
    return folder


def test_it_learns_and_is_calibrated_on_speakers_it_never_heard(tmp_path: Path) -> None:
    store = Store(full_store(tmp_path / "data"))
    job = DetectorJob([store], tmp_path / "run", "debug", "cpu", 0)
    learnt = {u.speaker for group in job.clips.values() for g in group.values() for _, u in g}
    held = {u.speaker for group in job.held.values() for g in group.values() for _, u in g}
    assert learnt and held and not learnt & held
    for number in range(16):
        figures = job.step(number, 0.1 + number / 40)
    assert figures["right"] > 0.8  # chance is a third
    assert job.detector.log_temperature.abs().max() > 0


def test_training_needs_every_kind(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "data")
    for speaker in speakers(False, 1) + speakers(True, 1):
        for kind in ("real/test", "made/valle"):
            clip = np.full(RATE, 0.1, np.float32)
            writer.add(f"{speaker} {kind}", kind, speaker, clip, None, waveform_is_clean=False)
    writer.close()
    with pytest.raises(UsageError, match="re-encoded speech"):
        DetectorJob([Store(tmp_path / "data")], tmp_path / "run", "debug", "cpu", 0)


def test_a_generator_can_be_left_out(tmp_path: Path) -> None:
    folder = full_store(tmp_path / "data")
    writer = StoreWriter(tmp_path / "more")
    for speaker in speakers(False, 2) + speakers(True, 1):
        clip = np.full(RATE, 0.1, np.float32)
        writer.add(speaker, "made/flite", speaker, clip, None, waveform_is_clean=False)
    writer.close()
    given = [Store(folder), Store(tmp_path / "more")], tmp_path / "run", "debug", "cpu", 0
    assert set(DetectorJob(*given).clips["made"]) == {"valle", "flite"}
    job = DetectorJob(*given, leave_out="flite")
    assert set(job.clips["made"]) == set(job.held["made"]) == {"valle"}
    with pytest.raises(UsageError, match=r"'flute'.*flite, valle"):
        DetectorJob(*given, leave_out="flute")
    with pytest.raises(UsageError, match="made speech of several"):
        DetectorJob(given[0][:1], *given[1:], leave_out="valle")


def test_half_of_each_kind_is_marked(debug_bundle: Path, tmp_path: Path, babble: Samples) -> None:
    writer = StoreWriter(tmp_path / "real")
    for number in range(12):
        writer.add(f"{number}", "c", "s", babble, None, waveform_is_clean=True)
    writer.add("own", "made-valle", "s", babble, "x", waveform_is_clean=True, made=True)
    writer.close()
    bundle, store = Bundle.load(debug_bundle, threads=1), Store(tmp_path / "real")
    detector_store.prepare_detector([store], tmp_path / "d", bundle=bundle, minutes=0.6, quiet=True)
    made = Store(tmp_path / "d")
    real = [made.waveform(u) for u in made.utterances if u.corpus == "real/c"]
    marked = sum(detect_mark(samples, RATE).found for samples in real)
    assert 2 <= marked <= len(real) - 2


def test_own_speech_is_not_marked_again(
    debug_bundle: Path, tmp_path: Path, babble: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector_store, "_MARKED", 1.0)
    monkeypatch.setattr(detector_store, "channel", lambda samples, rng: samples)
    writer = StoreWriter(tmp_path / "data")
    for name, corpus, made in (("a", "c", False), ("b", "made-valle", True), ("c", "made-x", True)):
        writer.add(name, corpus, name, babble, "x", waveform_is_clean=True, made=made)
    writer.close()
    bundle, store = Bundle.load(debug_bundle, threads=1), Store(tmp_path / "data")
    detector_store.prepare_detector([store], tmp_path / "d", bundle=bundle, minutes=0.1, quiet=True)
    found = Store(tmp_path / "d")
    marked = {u.corpus: detect_mark(found.waveform(u), RATE).found for u in found.utterances}
    assert marked["real/c"] and marked["made/x"] and not marked["made/valle"]


def test_it_comes_back_from_a_bundle(tmp_path: Path) -> None:
    detector = certain("re-encoded")
    with torch.no_grad():
        for weight in detector.parameters():  # equal ones would be one weight of the graph
            weight.add_(0.05 * torch.randn_like(weight))
    models = random_models("debug", seed=1)
    export_bundle(tmp_path / "b", "b", type(models)(**{**vars(models), "detector": detector}))
    stages = import_bundle(Bundle.load(tmp_path / "b"), tmp_path / "runs")
    assert stages[-1] == "detector"
    again = load_detector(tmp_path / "runs" / "detector").state_dict()
    for name, weight in detector.state_dict().items():
        torch.testing.assert_close(again[name], weight, atol=2e-2, rtol=0)


def heard(row: str, made: list[float], change: str = "nothing") -> list[evaluation.Heard]:
    return [
        evaluation.Heard(row, change, f"s{number % 4}", 1 - one, one)
        for number, one in enumerate(made)
    ]


def test_figures_of_known_verdicts() -> None:
    real, own = [0.1, 0.2, 0.3, 0.6], [0.7, 0.8, 0.9, 0.95]
    all_heard = heard("real", real) + heard("valle", own) + heard("flite", real)
    all_heard += heard("real", [0.1, 0.2, 0.9, 0.6], "watermark")
    found = {(r.row, r.change, r.name): r.figure.value for r in evaluation.results(all_heard)}
    assert found["valle", "nothing", "EER"] == 0.0
    assert found["flite", "nothing", "EER"] == pytest.approx(0.5, abs=0.13)
    limit = verification.MADE_SPEECH_LIMIT
    assert found["real", "nothing", "refused"] == sum(one > limit for one in real) / 4
    moved = evaluation.changed_by_mark(all_heard).figure.value
    assert moved == ((limit < 0.3) != (limit < 0.9)) / 4


def test_the_control_hears_a_channel_and_nothing_else() -> None:
    rng = np.random.default_rng(0)

    def pieces(row: str, dull: bool) -> list[evaluation.Piece]:
        made = []
        for number in range(24):
            samples = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
            if dull:
                samples = augmentation.band_limit(samples, 0.0, 4000.0)
            made.append(evaluation.Piece(row, f"s{number % 6}", samples))
        return made

    told = evaluation.control_results(pieces("real", False) + pieces("valle", True))
    assert all(result.figure.value < 0.1 for result in told)
    assert {result.change for result in told} == {"nothing", "MP3", "Opus", "noise 20 dB"}
    alike = evaluation.control_results(pieces("real", False) + pieces("valle", False))
    assert all(result.figure.value > 0.2 for result in alike)


def test_own_speech_is_kept_apart(
    debug_bundle: Path, babble: Samples, tmp_path: Path, home: Path
) -> None:
    writer = StoreWriter(tmp_path / "real")
    writer.add("a", "c", "speaker", babble, None, waveform_is_clean=True)
    writer.close()
    sentences = tmp_path / "sentences.tsv"
    texts = [f"The {word} went down to the old harbour." for word in ("man", "dog", "girl", "boat")]
    sentences.write_text("".join(f"test\t{text}\n" for text in texts))
    before = set(home.rglob("*"))
    words = ("--data", tmp_path / "real", "--sentences", sentences, "--bundle", debug_bundle)
    did("prepare", "own", tmp_path / "own", *words, "--minutes", 0.01, "-q")
    own = Store(tmp_path / "own").utterances
    assert {u.corpus for u in own} == {"made-valle"} and all(u.made for u in own)
    assert {u.speaker for u in own} == {"speaker"} and set(home.rglob("*")) == before


def test_evaluation_without_a_detector_says_so(debug_bundle: Path, babble: Samples) -> None:
    import valle

    model = valle.load(debug_bundle, threads=1)
    with pytest.raises(UsageError, match="no detector"):
        evaluation.hear(model, [evaluation.Piece("real", "s", babble)])


def test_what_is_asked_wrongly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    write_material(tmp_path / "real", False)
    prepare = ("prepare", "detector", tmp_path / "d", "--data", tmp_path / "real")
    assert "above 0" in refused(capsys, *prepare, "--minutes", 0)
    assert "made speech" in refused(capsys, *prepare)
    assert "--each" in refused(capsys, "evaluate", "detector", "--each", 0)
