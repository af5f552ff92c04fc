"""Adapters: trained, kept only if better, spoken with, merged at export, and refused if revoked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch
from onnx import helper, numpy_helper

import valle
from command_line import expect_success, expect_usage_error
from conftest import ATTEST
from short_adaptation import limit_rounds
from synthetic_corpus import write_corpus
from valle.bundle.adapter import Adapter, AdapterInfo
from valle.bundle.bundle import Bundle
from valle.bundle.graph_weights import add_to_weights
from valle.cli.main import main
from valle.consent.revocation import list_receipts, revoke
from valle.corpora.store import Store
from valle.errors import BundleError, ConsentError, UsageError
from valle.training.export import adapter as adapter_training
from valle.training.export.adapter_check import Measurement, choose_best
from valle.training.export.bundle import Preset, export_bundle, random_models
from valle.training.export.import_bundle import read_graph_weights
from valle.training.models.lora import adapt_linear_layers, merge_changes, read_matrices
from valle.training.trainers.adaptation import AdaptationOptions, AdapterTrainer, split_heldout
from valle.training.trainers.objectives import ARObjective, NARObjective
from valle.trust import receipts

CPU = torch.device("cpu")


def make_adapter(bundle: Bundle, scale: float = 0.05, seed: int = 0) -> Adapter:
    """An adapter of random changes, with a receipt of the user."""
    rng = np.random.default_rng(seed)
    matrices = {}
    for graph in ("ar", "nar"):
        for name, weight in read_graph_weights(bundle, graph).items():
            if name.startswith("blocks.") and name.endswith("feed_in.weight"):
                layer = f"{graph}.{name.removesuffix('.weight')}"
                rows, columns = weight.shape
                matrices[f"{layer}.down"] = (scale * rng.standard_normal((rows, 2))).astype("f2")
                matrices[f"{layer}.up"] = (scale * rng.standard_normal((2, columns))).astype("f2")
    info = AdapterInfo(
        name="random",
        base={name: bundle.graph_hash(name) for name in ("ar", "nar")},
        consents=(receipts.attest(ATTEST, "0" * 64),),
    )
    return Adapter(info, matrices)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-weights", "w8a8", "w4a8"])
def test_weights_change_in_every_precision(tmp_path: Path, precision: Preset) -> None:
    export_bundle(tmp_path / "b", "b", random_models("debug", seed=1), precision)
    bundle = Bundle.load(tmp_path / "b")
    adapter = make_adapter(bundle, scale=0.3)
    adapted = bundle.with_adapter(adapter)
    for graph in ("ar", "nar"):
        before, after = read_graph_weights(bundle, graph), read_graph_weights(adapted, graph)
        changes = adapter.changes(graph)
        assert changes
        for name, weight in before.items():
            if name not in changes:
                np.testing.assert_array_equal(after[name], weight, err_msg=name)
                continue
            expected = weight.astype(np.float32) + changes[name]
            # Half a step of the coarsest grid: 15 values in 4 bits, 255 in 8.
            steps = {"w4a8": 7.5 if graph == "ar" else 127, "fp16": 1000, "fp32": 1e6}
            step = np.abs(expected).max() / steps.get(precision, 127)
            assert np.abs(after[name] - expected).max() <= step
        adapted.session(graph)  # ONNX Runtime still reads it


def test_changed_graph_is_the_merged_model(tmp_path: Path) -> None:
    models = random_models("debug", seed=1)
    export_bundle(tmp_path / "b", "b", models, "fp32")
    bundle = Bundle.load(tmp_path / "b")
    adapter = make_adapter(bundle)
    merge_changes(models.ar, adapter.changes("ar"))
    merged = dict(models.ar.named_parameters())
    weights = read_graph_weights(bundle.with_adapter(adapter), "ar")
    for name in adapter.changes("ar"):
        np.testing.assert_allclose(weights[name].T, merged[name].detach(), atol=1e-6)
    assert bundle.graph_hash("ar") != bundle.with_adapter(adapter).graph_hash("ar")


def test_weights_whose_parts_do_not_fit_are_refused() -> None:
    change = {"w": np.zeros((4, 3), np.float32)}
    values = numpy_helper.from_array(np.zeros((4, 3), np.int8), "w.int8")
    scales = numpy_helper.from_array(np.ones(5, np.float32), "w.scale")
    for tensors in ([], [values], [values, scales]):
        graph = helper.make_graph([], "g", [], [], tensors)
        with pytest.raises(BundleError, match="weight|cannot be read"):
            add_to_weights(helper.make_model(graph).SerializeToString(), change)


def test_low_rank_layers_equal_the_merged_weights() -> None:
    plain, adapted = random_models("debug", seed=1).ar, random_models("debug", seed=1).ar
    for parameter in adapt_linear_layers(adapted, rank=4):
        torch.nn.init.normal_(parameter, std=0.1)
    trainable = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert all(name.endswith((".up", ".down")) for name in trainable)
    matrices = read_matrices(adapted, "ar")
    adapter = Adapter(AdapterInfo(name="a", base={}, consents=({},)), matrices)
    merge_changes(plain, adapter.changes("ar"))
    codes, stay = torch.randint(0, 1024, (1, 9, 8)), torch.zeros(1, 9, dtype=torch.int64)
    encoded = torch.randn(1, 9, adapted.size.width)
    expected, _ = plain.eval()(codes, encoded, stay)
    actual, _ = adapted.eval()(codes, encoded, stay)
    torch.testing.assert_close(actual, expected, atol=0.02, rtol=0.01)  # fp16 matrices


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than two minutes of two speakers."""
    folder = tmp_path_factory.mktemp("speech")
    write_corpus(folder, {"ada": [220] * 16, "ben": [220] * 16})
    return folder


def test_training_lowers_the_loss_on_heldout_speech(speech: Path) -> None:
    models, stores = random_models("debug", seed=1), [Store(speech)]
    options = AdaptationOptions(minutes=1e6, max_rounds=3, validation_examples=8, round_steps=5)
    losses: dict[str, list[float]] = {"ar": [], "nar": []}
    for name, objective in (
        ("ar", ARObjective(models.ar, CPU)),
        ("nar", NARObjective(models.nar, CPU)),
    ):
        trainer = AdapterTrainer(objective, name, stores, options)
        ids = {source.utterance.id for _, source in trainer.training.targets}
        assert ids.isdisjoint({name for _, name in split_heldout(stores)})
        adapted = trainer.train(lambda model, _, loss: losses[model].append(loss))
        assert adapted.base_loss == losses[name][0]
        assert adapted.best_loss == min(losses[name])
        assert adapted.improved == (min(losses[name]) < losses[name][0])
    assert min(losses["ar"]) < losses["ar"][0]  # random labels are learned, at least their rates


def test_too_little_speech_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs 2 minutes"):
        split_heldout([write_corpus(tmp_path, {"a": [220] * 8})])


def test_only_better_adapters_are_kept() -> None:
    base = Measurement(0.60, 0.30)
    both, ar, nar = ("ar", "nar"), ("ar",), ("nar",)
    clearer = {both: Measurement(0.70, 0.40), ar: Measurement(0.66, 0.31), nar: base}
    assert choose_best(base, clearer) == ar  # the words of the most similar are lost
    assert choose_best(base, {both: Measurement(0.61, 0.1), nar: base}) == both
    with pytest.raises(UsageError, match="does not speak better"):
        choose_best(base, {both: Measurement(0.60, 0.0), ar: Measurement(0.9, 0.33)})


def test_damaged_adapters_are_refused(tmp_path: Path, debug_bundle: Path) -> None:
    bundle = Bundle.load(debug_bundle)
    adapter = make_adapter(bundle)
    path = tmp_path / "a.safetensors"
    adapter.save(path)
    assert Adapter.load(path).info == adapter.info
    data = path.read_bytes()
    for damaged in (data[:100], data[:-7], b"", b"\x80\x04pickle", data.replace(b"ar.", b"xr.")):
        path.write_bytes(damaged)
        with pytest.raises(BundleError, match="adapter"):
            Adapter.load(path)
    with pytest.raises(BundleError, match="cannot be read"):
        Adapter.load(tmp_path / "absent.safetensors")
    other = Adapter(adapter.info.model_copy(update={"base": {"ar": "0" * 64}}), adapter.matrices)
    with pytest.raises(BundleError, match="another bundle"):
        bundle.with_adapter(other)
    for graph in (b"", b"\x3a\xff\xff", b"\x3a" + b"\xff" * 11):
        with pytest.raises(BundleError):
            add_to_weights(graph, adapter.changes("ar"))


def test_what_is_wrong_is_said_before_receipts_are_issued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list_receipts()
    write_corpus(tmp_path / "data", {"ada": [100, 100]})
    adapt = ["train", "adapt", tmp_path / "ada.safetensors", "--data", tmp_path / "data"]
    twice = ("--consent", "ada=a.voice", "--consent", "ada=b.voice")
    assert "names the speaker 'ada' twice" in expect_usage_error(capsys, *adapt, *twice)
    device = ("--i-hold-the-rights", "--device", "gpu9")
    assert "--device" in expect_usage_error(capsys, *adapt, *device)
    bundle = ("--i-hold-the-rights", "--bundle", str(tmp_path / "absent"))
    assert main([str(word) for word in (*adapt, *bundle)]) == BundleError.exit_code
    assert "there is no bundle" in capsys.readouterr().err
    monkeypatch.setattr("valle.cli.train_adapt._FAR_TOO_MANY", 0.01)  # minutes
    message = expect_usage_error(capsys, *adapt, "--i-hold-the-rights")
    assert "far more than an adapter can learn" in message
    assert list_receipts() == before


def test_from_speech_to_a_revoked_adapter(
    tmp_path: Path,
    speech: Path,
    debug_bundle: Path,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # The corpus has labels already; random recognizers would find no phonemes in noise.
    monkeypatch.setattr(adapter_training, "write_alignments", lambda *_: None)
    adapt = ["train", "adapt", "ada.safetensors", "--data", speech, "--bundle", debug_bundle]
    adapt += ["--minutes", 1e6, "--workers", 1, "--device", "cpu", "-q"]
    limit_rounds(monkeypatch)
    assert main([str(word) for word in adapt]) == ConsentError.exit_code
    assert "needs the consent of its owner" in capsys.readouterr().err
    message = expect_usage_error(capsys, *adapt, "--consent", "some voice")
    assert "2 speakers: give --consent SPEAKER=VOICE for each" in message
    assert main([str(word) for word in [*adapt, "--consent", "ada=some voice"]]) == 6
    assert "no consent of the speaker 'ben'" in capsys.readouterr().err
    expect_success(*adapt, "--i-hold-the-rights")
    assert Path("ada.safetensors").stat().st_size < 10_000_000
    adapter = Adapter.load("ada.safetensors")
    assert [receipt["voice"] for receipt in adapter.info.consents] == ["ada", "ben"]
    assert adapter.info.training["judged_by"] == "loss"
    speak = ["speak", "Hello.", "--bundle", debug_bundle, "--i-hold-the-rights", "-q"]
    speak += ["--ref-audio", recording]
    expect_success(*speak, "-o", "base.wav")
    expect_success(*speak, "-o", "adapted.wav", "--adapter", "ada.safetensors")
    assert Path("base.wav").read_bytes() != Path("adapted.wav").read_bytes()

    expect_success("import", debug_bundle, "--runs", "runs")
    export = ["export", "merged", "--runs", "runs", "--precision", "fp32"]
    expect_success(*export, "--adapter", "ada.safetensors")
    merged = valle.load("merged").bundle
    weights = read_graph_weights(merged, "ar")
    for name, change in adapter.changes("ar").items():
        before = read_graph_weights(Bundle.load(debug_bundle), "ar")[name]
        np.testing.assert_allclose(weights[name], before + change, atol=1e-6)
    # Receipts are carried on, whatever way the models take.
    expect_success("import", "merged", "--runs", "again")
    expect_success("average", "again/mean", "again/ar", "again/ar")
    expect_success("export", "descendant", "--runs", "again", "--precision", "fp32")
    ids = {receipt["id"] for receipt in adapter.info.consents}
    for folder in ("merged", "descendant"):
        config = json.loads(Path(folder, "config.json").read_text())
        assert {receipt["id"] for receipt in config["consents"]} == ids
    assert ids <= {entry.id for entry in list_receipts()}

    revoke(adapter.info.consents[1]["id"])
    for bundle, path in ((debug_bundle, "ada.safetensors"), ("merged", None), ("descendant", None)):
        with pytest.raises(ConsentError, match="fine-tuned on a voice.*revoked"):
            valle.load(bundle, adapter=path)
    valle.load(debug_bundle)
