"""`valle train adapt`: fine-tune a bundle on some speech, as an adapter for `valle speak`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from valle.audio_format import SAMPLE_RATE
from valle.bundle.adapter import MAX_RANK
from valle.bundle.bundle import Bundle
from valle.cli.arguments import (
    POSITIVE,
    Integer,
    add_attestation,
    add_bundle,
    add_corpora,
    add_quiet,
    add_seed,
    add_workers,
    nonempty,
    path,
)
from valle.cli.console import note
from valle.cli.train_device import add_device, choose_device
from valle.consent.training_consent import attest_training, receipt_of_voice
from valle.corpora.store import Store
from valle.errors import ConsentError, UsageError
from valle.files import check_target
from valle.synthesis.model import find_voice
from valle.training.export.adapter import (
    collect_speech,
    label_corpora,
    train_adapter,
)
from valle.training.trainers.adaptation import AdaptationOptions
from valle.trust.attestation import ATTESTATION

_MAX_MINUTES = 60.0  # of speech; with more, `valle train ar` and `nar` learn more than an adapter
_FAR_TOO_MANY = 600.0  # minutes, all of which would be in memory at once


def adapt_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle train adapt ADAPTER`."""
    defaults = AdaptationOptions()
    parser.add_argument(
        "adapter", type=path, metavar="ADAPTER", help="file to write, such as ada.safetensors"
    )
    add_corpora(
        parser,
        "2 to 60 minutes of speech that valle prepare recordings wrote; its codes and labels are "
        "computed with the bundle",
    )
    add_bundle(parser, "the bundle to fine-tune (default: the built-in one)")
    consent = parser.add_mutually_exclusive_group()
    consent.add_argument(
        "--consent",
        type=nonempty,
        action="append",
        metavar="[SPEAKER=]VOICE",
        help="a saved voice or voice file whose owner consented and speaks in the corpus; one for "
        "each speaker",
    )
    add_attestation(consent)
    parser.add_argument(
        "--minutes",
        type=POSITIVE,
        default=defaults.minutes,
        metavar="X",
        help="longest training time (default: %(default)s); it ends earlier when nothing improves",
    )
    parser.add_argument(
        "--rank",
        type=Integer(1, MAX_RANK),
        default=defaults.rank,
        metavar="N",
        help="rank of the changed weights (default: %(default)s)",
    )
    add_workers(parser, "processes for codes and labels, and threads for training")
    add_device(parser)
    add_seed(parser)
    add_quiet(parser)


def adapt(arguments: argparse.Namespace) -> None:
    """Train an adapter, and write it if it is better than the bundle.

    Raises:
        UsageError: there is too little speech, or the adapter is not better than the bundle.
        ConsentError: the consent of a speaker is missing or not valid.
        BundleError: the bundle cannot be read or trained further.
        OutputError: the adapter cannot be written.
    """
    if arguments.consent is None and arguments.attest is None:
        raise ConsentError(
            "fine-tuning on a voice needs the consent of its owner: --consent VOICE, a voice that "
            f'was enrolled with it; or your own word, --attest "{ATTESTATION}", for which '
            "--i-hold-the-rights is short"
        )
    target = check_target(arguments.adapter)
    if arguments.adapter.suffix != ".safetensors":
        raise UsageError(f"{arguments.adapter}: the name of an adapter ends with .safetensors")
    stores = [Store(folder) for folder in arguments.data]
    minutes = sum(u.samples for store in stores for u in store.utterances) / SAMPLE_RATE / 60
    if minutes > _FAR_TOO_MANY:
        raise UsageError(
            f"the corpora have {minutes / 60:.0f} h of speech, far more than an adapter can learn: "
            "train the models themselves, see docs/TRAINING.md, fine-tuning a bundle"
        )
    speech = collect_speech(stores)
    if minutes > _MAX_MINUTES:
        note(
            arguments,
            f"{minutes:.0f} minutes of speech are more than an adapter can learn; see "
            "docs/TRAINING.md, fine-tuning a bundle",
        )
    bundle = Bundle.load(arguments.bundle)  # before receipts are entered in the ledger
    consents = _collect_consents(arguments, speech)
    label_corpora(bundle, stores, arguments.workers, arguments.quiet)
    torch.set_num_threads(arguments.workers)
    adapter = train_adapter(
        bundle,
        [Store(folder) for folder in arguments.data],  # with the labels that are there now
        {"name": Path(arguments.adapter).stem, "consents": consents},
        AdaptationOptions(
            minutes=arguments.minutes,
            rank=arguments.rank,
            seed=arguments.seed,
            device=choose_device(arguments.device),
        ),
        lambda name, epoch, loss: note(
            arguments, f"{name}: after {epoch} epochs, loss {loss:.4f} on held-out speech"
        ),
    )
    adapter.save(target)
    note(arguments, _describe(adapter.info.training, tuple(adapter.info.base)))
    print(f"{arguments.adapter}: {target.stat().st_size / 1e6:.1f} MB; speak with --adapter")


def _collect_consents(
    arguments: argparse.Namespace, speech: dict[str, NDArray[np.float32]]
) -> tuple[dict[str, Any], ...]:
    """Collect a receipt of every speaker."""
    if arguments.attest is not None:
        return tuple(
            attest_training(speaker, samples, SAMPLE_RATE, arguments.attest)
            for speaker, samples in speech.items()
        )
    voices: dict[str, str] = {}
    for given in arguments.consent:
        speaker, equals, voice = given.rpartition("=")
        if not equals and len(speech) > 1:
            raise UsageError(
                f"the corpora have {len(speech)} speakers: give --consent SPEAKER=VOICE for each"
            )
        name = speaker if equals else next(iter(speech))
        if name in voices:
            raise UsageError(f"--consent names the speaker {name!r} twice: give one voice for each")
        voices[name] = voice
    if unknown := voices.keys() - speech.keys():
        raise UsageError(f"no speaker of the corpora is called {sorted(unknown)[0]!r}")
    if missing := speech.keys() - voices.keys():
        raise ConsentError(
            f"there is no consent of the speaker {sorted(missing)[0]!r}: give --consent "
            "SPEAKER=VOICE for each, or leave the speaker out of the corpus"
        )
    return tuple(
        receipt_of_voice(find_voice(voice), speaker, speech[speaker], SAMPLE_RATE)
        for speaker, voice in voices.items()
    )


def _describe(training: dict[str, Any], adapted: tuple[str, ...]) -> str:
    """Say what was measured of an adapter."""
    if training["judged_by"] == "loss":
        return (
            "the bundle's recognizer does not understand its own speech: the adapter was judged by "
            "its loss alone"
        )
    base, new = training["base"], training["adapted"]["+".join(adapted)]
    return (
        f"adapted {' and '.join(adapted)}: similarity {base['similarity']:.3f} before, "
        f"{new['similarity']:.3f} after; phoneme error rate {base['phoneme_error_rate']:.1%} "
        f"before, {new['phoneme_error_rate']:.1%} after"
    )
