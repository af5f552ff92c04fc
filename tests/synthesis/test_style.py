"""Prosody styles: training and inference condition on them alike; bin edges go with the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")

from styled_models import BIN_EDGES
from synthetic_corpus import voiced_corpus
from valle.audio.prosody import CLASSES, STYLES
from valle.bundle.bundle import Bundle
from valle.corpora.store import Store
from valle.corpora.styles import prepare_styles
from valle.errors import UsageError
from valle.runtime.conditioning import make_style_input
from valle.runtime.nar import NAR, FrameInputs, first_block_frames
from valle.training.data.examples import ExampleProbabilities, ExampleSource
from valle.training.export.bundle import Models
from valle.training.export.import_bundle import import_bundle
from valle.training.models.nar import Frames, residual_correction
from valle.training.models.phonemes import Conditioning, StyleConditioning
from valle.training.models.quantizer import residual_codes
from valle.training.models.sizes import NO_CODE
from valle.training.run_folder import load_bin_edges
from valle.training.trainers.ar import ARTrainer
from valle.training.trainers.trainer import TrainerContext

if TYPE_CHECKING:
    from torch import Tensor


def tensor(array: np.ndarray) -> Tensor:
    """Return an array as a tensor with a batch of one."""
    return torch.from_numpy(np.ascontiguousarray(array))[None]


@torch.no_grad()
def test_training_and_inference_of_the_nar_are_conditioned_alike(
    store: Store, models: Models, bundle: Bundle
) -> None:
    style = np.array([3, 0, 8, 1, 2])
    prompt, target = ExampleSource([store], [1.0], seed=0).pair((60, 80), (60, 120), 0.5)
    nar = NAR(bundle)
    # As many frames as one pass takes.
    count = first_block_frames(bundle.config.nar.block)[0] + bundle.config.nar.ahead - 1
    at = target.frame_symbol[:count]
    symbols, stress, first_codes = target.symbols[at], target.stress[at], target.codes[:count, 0]
    masked = np.full((len(at), 8), NO_CODE)
    masked[:, 0] = first_codes
    prompt_inputs = FrameInputs(
        prompt.codes, prompt.symbols[prompt.frame_symbol], prompt.stress[prompt.frame_symbol]
    )
    styled, unconditional = (
        models.nar.forward_training(
            Frames(
                tensor(prompt_inputs.codes),
                tensor(prompt_inputs.symbols),
                tensor(prompt_inputs.stress),
            ),
            Frames(tensor(masked), tensor(symbols), tensor(stress)),
            Conditioning(tensor(prompt.voice), tensor(classes)),
            torch.tensor([len(prompt_inputs)]),
            torch.tensor([len(masked)]),
        )
        for classes in (style, 0 * style)
    )
    cached = nar.prefill(prompt_inputs, prompt.voice)
    correction = residual_correction(
        models.nar.tables[0],
        tensor(first_codes),
        tensor(cached.first_codes),
        tensor(cached.residual),
    )
    vectors = styled + correction + nar._config.guidance_scale * (styled - unconditional)
    expected = residual_codes(models.nar.tables[1:], vectors[0]).numpy()

    frames = list(zip(first_codes.tolist(), symbols.tolist(), stress.tolist(), strict=True))

    def predict(classes: np.ndarray | None) -> np.ndarray:
        return np.concatenate(list(nar.predict_residuals(cached, frames, style=classes)))

    assert (predict(style)[:, 1:] == expected).mean() > 0.99
    # Whether a particular style changes a code depends on the random weights; some must.
    unstyled = predict(None)
    styles = np.random.default_rng(0).integers(1, CLASSES + 1, (8, len(STYLES)))
    assert any((predict(classes)[:, 1] != unstyled[:, 1]).any() for classes in styles)


def test_unspecified_style_adds_nothing_and_gets_no_gradient() -> None:
    conditioning = StyleConditioning(16)
    torch.nn.init.normal_(conditioning.weight)
    output = conditioning(torch.tensor([[0, 0, 0, 0, 0], [1, 0, 0, 0, 8]]))
    assert not output[0].any()
    first, last = 0, 5 * CLASSES - 1
    torch.testing.assert_close(output[1], conditioning.weight[first] + conditioning.weight[last])
    output.sum().backward()
    assert conditioning.weight.grad is not None
    has_gradient = conditioning.weight.grad.abs().sum(-1) > 0
    assert has_gradient.nonzero()[:, 0].tolist() == [first, last]


def test_weights_without_styles_can_be_trained_further(
    store: Store, tmp_path: Path, debug_bundle: Path
) -> None:
    """An imported bundle without styles gives the same losses with a style and without."""
    bundle = Bundle.load(debug_bundle, threads=1)
    assert bundle.config.style is None
    assert not any("style" in {i.name for i in g.inputs} for g in bundle.config.graphs.values())
    import_bundle(bundle, tmp_path)
    assert load_bin_edges(tmp_path / "ar") is None
    trainer = ARTrainer(make_context(store, tmp_path / "ar"), infilling=0.0)
    state = torch.load(tmp_path / "ar" / "checkpoint.pt", weights_only=True)["modules"]["ar"]
    del state["phonemes.style.weight"]
    trainer.ar.load_state_dict(state)
    assert not trainer.ar.phonemes.style.weight.any()
    examples = [trainer.examples.example((40, 80), (60, 120), 0.5) for _ in range(3)]
    styled = [dataclasses.replace(example, style=np.full(5, 3)) for example in examples]
    losses = [trainer.losses(batch)[:2] for batch in (examples, styled)]
    assert losses[0] == losses[1]


def make_context(store: Store, folder: Path) -> TrainerContext:
    return TrainerContext([store], folder, size="debug")


def test_bin_edges_are_exported_and_imported(
    models: Models, bundle: Bundle, tmp_path: Path
) -> None:
    assert bundle.config.style is not None
    np.testing.assert_array_equal(bundle.config.style.borders, BIN_EDGES)
    import_bundle(bundle, tmp_path / "runs")
    for stage in ("ar", "nar"):
        bin_edges = load_bin_edges(tmp_path / "runs" / stage)
        assert bin_edges is not None
        np.testing.assert_array_equal(bin_edges, BIN_EDGES)
    state = torch.load(tmp_path / "runs/ar/checkpoint.pt", weights_only=True)["modules"]["ar"]
    torch.testing.assert_close(state["phonemes.style.weight"], models.ar.phonemes.style.weight)


def test_run_keeps_its_bin_edges_whatever_those_of_the_corpora(
    bundle: Bundle, tmp_path: Path
) -> None:
    import_bundle(bundle, tmp_path / "runs")
    store = voiced_corpus(tmp_path / "store", 0)
    prepare_styles([store.folder], quiet=True)
    trainer = ARTrainer(make_context(Store(store.folder), tmp_path / "runs/ar"))
    assert trainer.examples.bin_edges is not None
    np.testing.assert_array_equal(trainer.examples.bin_edges, BIN_EDGES)


def test_styles_of_targets_are_measured_and_dropped_with_their_probability(tmp_path: Path) -> None:
    voiced_corpus(tmp_path, 0)
    prepare_styles([tmp_path], quiet=True)
    source = ExampleSource([Store(tmp_path)], [1.0], 0, ExampleProbabilities(infilling=0.3))
    styles = np.stack([source.example((40, 80), (60, 120), 0.5).style for _ in range(400)])
    assert styles.min() == 0
    assert styles.max() == CLASSES
    kept = (styles > 0).mean(axis=0)  # 0.7 of the examples keep 0.7 of their styles
    assert (np.abs(kept - 0.49) < 0.1).all(), kept
    assert 0.2 < (styles == 0).all(axis=1).mean() < 0.42


def test_corpora_with_other_bin_edges_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(folders):
        voiced_corpus(folder, seed)
        prepare_styles([folder], quiet=True)
    with pytest.raises(UsageError, match="together"):
        ExampleSource([Store(folder) for folder in folders], [1.0, 1.0], seed=0)


def test_invalid_styles_are_refused(bundle: Bundle, debug_bundle: Path) -> None:
    for style in (np.array([9, 0, 0, 0, 0]), np.array([-1, 0, 0, 0, 0]), np.zeros(4, int)):
        with pytest.raises(UsageError, match="classes from 0"):
            make_style_input(bundle.config, style)
    without_styles = Bundle.load(debug_bundle).config
    with pytest.raises(UsageError, match="without styles"):
        make_style_input(without_styles, np.ones(len(STYLES), np.int64))
    assert make_style_input(without_styles, np.zeros(len(STYLES), np.int64)) == {}
