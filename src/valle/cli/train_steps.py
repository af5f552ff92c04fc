"""The steps of `valle train all`: commands of this program, with their shares of the budget."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PREFERENCE_SHARE = 0.05  # of the budget
_PREFERENCE_SECONDS = 2.5  # of one processor, for one sentence with its candidates
_FEWEST_PREFERENCES, _MOST_PREFERENCES = 40, 2000  # sentences


@dataclass(frozen=True)
class Step:
    """A command with its share of the budget."""

    name: str
    share: float
    command: tuple[str, ...]

    @property
    def stage(self) -> str | None:
        """What the step trains, if it does: its command is given `--minutes`."""
        return self.command[1] if self.command[0] == "train" else None

    @property
    def run(self) -> Path:
        """The folder of the model that the step trains."""
        return Path(self.command[self.command.index("--runs") + 1], self.command[1])


def make_steps(arguments: argparse.Namespace) -> list[Step]:
    """The chain, in order.

    Shares are those that the default bundle was trained with, in proportion. A chain that starts
    from a bundle has no codec, speaker encoder and first listener to train.

    Args:
        arguments: of `valle train all`.
    """
    chain = _Chain(arguments)
    return [
        *chain.make_labels(),
        *chain.train_language_models(),
        *chain.learn_preferences(),
        *chain.train_detector(),
    ]


class _Chain:
    """Makes the steps from the options of the command."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._bundle, self._runs = str(arguments.bundle), str(arguments.runs)
        self._preferred = self._folder("preferences")  # runs of the models from then on
        self._corpora = [str(folder) for folder in arguments.data]
        self._teacher = ("--teacher", str(arguments.teacher))
        self._workers = ("--workers", str(arguments.workers))
        self._seed = ("--seed", str(arguments.seed))
        sentences = str(arguments.sentences)
        self._synthesize = ("--sentences", sentences, "--bundle", self._bundle, *self._seed)

    def make_labels(self) -> list[Step]:
        """From recordings to codes, labels and styles."""
        from_runs = ("--runs", self._runs)
        code = self._prepare("codes", *self._corpora, *from_runs, *self._workers)
        label = self._prepare("labels", *self._corpora, *from_runs, *self._workers)
        if self._arguments.start is None:
            first = [
                Step("codec", 0.14, self._train("codec")),
                Step("first listener", 0.08, self._train("listener")),
                Step("speaker encoder", 0.08, self._train("speaker")),
            ]
        else:
            first = [Step("import", 0.005, ("import", self._arguments.start, *from_runs))]
        return [
            *first,
            Step("codes", 0.03, code),
            Step("first labels", 0.03, label),
            Step("listener", 0.12, self._train("listener")),
            Step("labels", 0.03, label),
            Step("styles", 0.02, self._prepare("styles", *self._corpora, *self._workers)),
        ]

    def train_language_models(self) -> list[Step]:
        """AR and NAR, and the NAR again with the decoder."""
        return [
            Step("ar", 0.16, self._train("ar")),
            Step("nar", 0.06, self._train("nar")),
            Step("acoustic", 0.24, self._train("acoustic", *self._teacher, "--decoder")),
            Step("export", 0.005, self._export(self._runs)),
        ]

    def learn_preferences(self) -> list[Step]:
        """The AR again, by its own samples. It is taken from the bundle, which speaks them."""
        folder, arguments = self._folder("preference-data"), self._arguments
        affordable = _PREFERENCE_SHARE * arguments.budget * arguments.workers / _PREFERENCE_SECONDS
        groups = round(min(max(affordable, _FEWEST_PREFERENCES), _MOST_PREFERENCES))
        options = ["--data", self._corpora[0], *self._teacher, *self._synthesize, *self._workers]
        options += ["--groups", str(groups)]
        train = self._train("ar", "--preferences", folder, runs=self._preferred)
        import_bundle = ("import", self._bundle, "--runs", self._preferred)
        return [
            Step("import for preferences", 0.005, import_bundle),
            Step("preferences", _PREFERENCE_SHARE, self._prepare("preferences", folder, *options)),
            Step("ar by preferences", 0.05, train),
            Step("export with preferences", 0.005, self._export(self._preferred)),
        ]

    def train_detector(self) -> list[Step]:
        """The detector, on speech of the finished models."""
        spoken, folder = self._folder("self"), self._folder("detector-data")
        speak = self._prepare("self", spoken, "--data", self._corpora[0], *self._synthesize)
        data = [word for corpus in (*self._corpora, spoken) for word in ("--data", corpus)]
        prepare = self._prepare("detector", folder, *data, "--bundle", self._bundle, *self._seed)
        train = self._train("detector", data=[folder], runs=self._preferred)
        return [
            Step("synthesized speech", 0.03, speak),
            Step("detector data", 0.03, prepare),
            Step("detector", 0.03, train),
            Step("export with detector", 0.005, self._export(self._preferred)),
        ]

    def _folder(self, name: str) -> str:
        return str(self._arguments.runs / name)

    def _train(
        self, stage: str, *more: str, data: Sequence[str] | None = None, runs: str | None = None
    ) -> tuple[str, ...]:
        arguments = self._arguments
        corpora = self._corpora if data is None else data
        options = [word for folder in corpora for word in ("--data", folder)]
        options += ["--runs", runs or self._runs, "--size", arguments.size]
        options += ["--threads", str(arguments.workers)]
        if arguments.device is not None:
            options += ["--device", arguments.device]
        return ("train", stage, *options, *self._seed, *more, *self._quiet())

    def _prepare(self, stage: str, *options: str) -> tuple[str, ...]:
        return ("prepare", stage, *options, *self._quiet())

    def _export(self, runs: str) -> tuple[str, ...]:
        return ("export", self._bundle, "--runs", runs)

    def _quiet(self) -> tuple[str, ...]:
        return ("-q",) if self._arguments.quiet else ()
