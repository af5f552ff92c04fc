"""The evaluation of consent: known scores, and trials of every kind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from valle.cli.main import main
from valle.consent.verification import AS_NORM_LIMIT, OTHER_SPEAKER, SPEAKER_COSINE_LIMIT
from valle.consent.words import WORDS
from valle.errors import UsageError
from valle.evaluation.protocols import consent, consent_report
from valle.evaluation.protocols.consent import (
    CLONE,
    IMPOSTOR,
    KINDS,
    REPLAY,
    SPLICE_ONE,
    TARGET,
    Trial,
)

RATE = 16_000
TEXTS = (
    "The garden behind the yellow house was quiet that summer morning.",
    "Several people walked along the river without saying anything.",
    "Nobody remembers what happened after the market closed.",
)


def make_trial(kind: str, speaker: str, score: float, accepted: bool) -> Trial:
    names = {name for name, _, _ in consent_report.SCORES}
    faults = [] if accepted else ["no"]
    return Trial(kind, speaker, 0, accepted, faults, dict.fromkeys(names, score))


def test_curves_and_rates_of_known_scores() -> None:
    trials = [
        make_trial(TARGET, "ab"[i % 2], score, score > 0.3)
        for i, score in enumerate((0.2, 0.6, 0.8, 1.0))
    ]
    for kind in KINDS[1:]:
        trials += [make_trial(kind, "a", score, score > 0.3) for score in (0.0, 0.1, 0.4, 0.1)]
    summary = consent_report.summarize(trials)
    assert summary["kinds"][TARGET]["accepted"]["value"] == 0.75
    assert summary["kinds"][REPLAY]["accepted"]["value"] == 0.25
    assert summary["kinds"][TARGET]["faults"] == {"no": 1}
    rates = [row["value"] for row in summary["equal_error_rates"] if row["score"] == "phrase"]
    assert rates == [0.25]
    for point in consent_report.curve(trials, "phrase", higher_is_better=True):
        targets = np.array([0.2, 0.6, 0.8, 1.0])
        assert point["targets refused"] == np.mean(targets < point["threshold"])
        assert point[CLONE] == np.mean(np.array([0.0, 0.1, 0.4, 0.1]) >= point["threshold"])
    falling = consent_report.curve(trials, "replay", higher_is_better=False)
    assert falling[0]["targets refused"] == 1.0
    assert falling[-1]["targets refused"] == 0.0
    text = consent_report.table(summary)
    assert text.count("equal error rate") == len(consent_report.SCORES)
    assert "0.750" in text


def decide_by_voice(
    kind: str, speaker: str, occasion: int, as_norm: float | None, cosine: float
) -> Trial:
    """A trial that the speaker scores alone decide."""
    scores = {"speaker_cosine": cosine} | ({} if as_norm is None else {"as_norm": as_norm})
    similar = cosine >= SPEAKER_COSINE_LIMIT if as_norm is None else as_norm >= AS_NORM_LIMIT
    faults = [] if similar else [OTHER_SPEAKER]
    return Trial(kind, speaker, occasion, similar, faults, scores)


def test_three_attempts_and_the_trade_off() -> None:
    as_norm = {("a", 0): (0.0, 5.0, 9.0), ("b", 1): (1.0, 0.5, 0.0), ("a", 2): (4.0, 4.0)}
    trials = [
        decide_by_voice(TARGET, speaker, occasion, score, 0.5)
        for (speaker, occasion), scores in as_norm.items()
        for score in scores
    ]
    # The last occasion has two attempts, not three, and does not count.
    assert consent_report.accept_within_three(trials) == [("a", True), ("b", False)]
    assert consent_report.accept_within_three(trials, 0.75) == [("a", True), ("b", True)]
    trials += [decide_by_voice(CLONE, "a", 9, score, 0.5) for score in (0.0, 2.0)]
    trials.append(decide_by_voice(CLONE, "a", 9, None, 0.99))  # the cosine alone decides
    trials.append(dataclasses.replace(trials[-1], faults=[OTHER_SPEAKER, "no"]))
    row = consent_report.rates_at(trials, 3.0)
    assert row == {"limit": 3.0, "first attempt": 4 / 8, "within three": 1 / 2, CLONE: 1 / 4}


def test_a_limit_is_set_on_the_other_half_of_the_speakers() -> None:
    trials = []
    for speaker, (impostor, target) in {"a": (2.0, 5.0), "b": (3.0, 2.5)}.items():
        trials += [decide_by_voice(IMPOSTOR, speaker, 0, impostor, 0.5) for _ in range(2)]
        trials += [decide_by_voice(SPLICE_ONE, speaker, 0, 9.0, 0.5)]  # no limit refuses these
        trials += [decide_by_voice(TARGET, speaker, 0, target, 0.5) for _ in range(3)]
    crossed = consent_report.cross_validate_limit(trials)
    # a is decided by b's limit, just over 3, and b by a's, just over 2.
    assert crossed["limits"] == pytest.approx([3.0, 2.0])
    assert min(crossed["limits"]) > 2.0
    accepted = {name: rate["value"] for name, rate in crossed["accepted"].items()}
    assert accepted["first attempt"] == accepted["within three"] == 1.0
    assert accepted[IMPOSTOR] == 0.5
    assert accepted[SPLICE_ONE] == 1.0


def test_statements_are_made_of_transcripts() -> None:
    rng = np.random.default_rng(0)
    for text in TEXTS:
        statement = consent.make_statement(text, rng)
        phrase = [text[start:end] for start, end in statement.phrase]
        assert len(phrase) == 4
        assert all(len(word) >= 5 for word in phrase)
        other = consent.make_statement(text, rng, WORDS)
        words = {other.text[start:end] for start, end in other.phrase}
        assert words <= set(WORDS)
        assert not words & set(text.split())
        last = consent.make_statement(text, rng, last=True)
        assert list(last.phrase) == consent.find_phrase_words(text)[-4:]
    assert consent.find_phrase_words("...") == [] == consent.find_phrase_words("It is so.")


def test_splices_have_one_level_and_no_gap() -> None:
    tone = np.sin(np.arange(2 * RATE) / 10).astype(np.float32)
    silence = np.zeros(RATE, np.float32)
    first = np.concatenate([silence, 0.5 * tone, silence])
    second = np.concatenate([silence, 0.05 * tone, silence])
    spliced = consent.splice(first, second)
    assert 4 * RATE <= len(spliced) < 4.8 * RATE
    assert np.abs(spliced[-RATE:]).max() == pytest.approx(0.5, rel=0.1)


@pytest.fixture
def manifest(tmp_path: Path, babble: NDArray[np.float32]) -> Path:
    """Two speakers with three recordings each, of babble."""
    rows = []
    for number, speaker in enumerate("ab"):
        for index, text in enumerate(TEXTS):
            audio = f"{speaker}{index}.wav"
            rolled = np.roll(np.tile(babble, 3), 5000 * (3 * number + index))
            soundfile.write(tmp_path / audio, rolled * 0.5, RATE)
            row = {"audio": audio, "corpus": "c", "speaker": speaker}
            rows.append(row | {"text": text, "seconds": 9.0})
    (tmp_path / "heldout.txt").write_text("a\nb\n")
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_random_weights_accept_no_trial_of_any_kind(
    manifest: Path, debug_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "runs" / "consent.json"
    command = ["evaluate", "consent", "--bundle", str(debug_bundle), "--threads", "1", "-q"]
    command += ["--manifest", str(manifest), "--heldout", str(manifest.with_name("heldout.txt"))]
    assert main([*command, "--trials", "2", "-o", str(target)]) == 0, capsys.readouterr().err
    report = json.loads(target.read_text())
    assert list(report["kinds"]) == list(KINDS)
    assert all(kind["trials"] == 2 for kind in report["kinds"].values())
    assert report["settings"]["limits"]["WORD_LIMIT"] < 0
    assert report["kinds"][REPLAY]["faults"]["it was used before"] == 2
    assert sum(kind["accepted"]["value"] for kind in report["kinds"].values()) == 0
    assert "equal error rate" in capsys.readouterr().out
    for wrong in (["--trials", "0"], ["--speakers", "1"], ["--speakers", "3"]):
        assert main([*command, *wrong, "-o", str(target)]) == 2


def test_a_single_speaker_is_refused(manifest: Path) -> None:
    manifest.with_name("heldout.txt").write_text("a\n")
    with pytest.raises(UsageError, match="have 1 held-out speakers.*two such speakers"):
        consent.read_talkers([manifest], [manifest.with_name("heldout.txt")])
