"""Evaluation of consent: curves and shares against known answers, trials of every kind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from valle.cli.main import main
from valle.consent.verification import LIKENESS_LIMIT, OTHER_VOICE, VOICE_LIMIT
from valle.consent.words import WORDS
from valle.errors import UsageError
from valle.evaluation.protocols import consent, consent_report
from valle.evaluation.protocols.consent import KINDS, TRUE, Trial

RATE = 16_000
TEXTS = (
    "The garden behind the yellow house was quiet that summer morning.",
    "Several people walked along the river without saying anything.",
    "Nobody remembers what happened after the market closed.",
)


def trial(kind: str, speaker: str, score: float, accepted: bool) -> Trial:
    names = {name for name, _, _ in consent_report.TELLS}
    faults = [] if accepted else ["no"]
    return Trial(kind, speaker, 0, accepted, faults, dict.fromkeys(names, score))


def test_curves_and_shares_of_known_scores() -> None:
    trials = [
        trial(TRUE, "ab"[i % 2], score, score > 0.3) for i, score in enumerate((0.2, 0.6, 0.8, 1.0))
    ]
    for kind in KINDS[1:]:
        trials += [trial(kind, "a", score, score > 0.3) for score in (0.0, 0.1, 0.4, 0.1)]
    found = consent_report.results(trials)
    assert found["kinds"][TRUE]["accepted"]["value"] == 0.75
    assert found["kinds"]["replay"]["accepted"]["value"] == 0.25
    assert found["kinds"][TRUE]["faults"] == {"no": 1}
    assert [row["value"] for row in found["equal_error_rates"] if row["score"] == "phrase"] == [
        0.25
    ]
    for point in consent_report.curve(trials, "phrase", more_is_better=True):
        true = np.array([0.2, 0.6, 0.8, 1.0])
        assert point["true refused"] == np.mean(true < point["threshold"])
        assert point["clone"] == np.mean(np.array([0.0, 0.1, 0.4, 0.1]) >= point["threshold"])
    turned = consent_report.curve(trials, "replay", more_is_better=False)
    assert turned[0]["true refused"] == 1.0 and turned[-1]["true refused"] == 0.0
    shown = consent_report.table(found)
    assert shown.count("equal error rate") == len(consent_report.TELLS) and "0.750" in shown


def scored(kind: str, speaker: str, occasion: int, likeness: float | None, voice: float) -> Trial:
    """A trial whose voices alone decide."""
    scores = {"voice": voice} | ({} if likeness is None else {"likeness": likeness})
    alike = voice >= VOICE_LIMIT if likeness is None else likeness >= LIKENESS_LIMIT
    return Trial(kind, speaker, occasion, alike, [] if alike else [OTHER_VOICE], scores)


def test_tries_and_the_trade_off() -> None:
    likeness = {("a", 0): (0.0, 5.0, 9.0), ("b", 1): (1.0, 0.5, 0.0), ("a", 2): (4.0, 4.0)}
    trials = [
        scored(TRUE, speaker, occasion, one, 0.5)
        for (speaker, occasion), tries in likeness.items()
        for one in tries
    ]
    # Two tries are not three: the last occasion does not count.
    assert consent_report.within_three(trials) == [("a", True), ("b", False)]
    assert consent_report.within_three(trials, 0.75) == [("a", True), ("b", True)]
    trials += [scored("clone", "a", 9, one, 0.5) for one in (0.0, 2.0)]
    trials.append(scored("clone", "a", 9, None, 0.99))  # the cosine alone decides
    trials.append(dataclasses.replace(trials[-1], faults=[OTHER_VOICE, "no"]))
    row = consent_report.by_likeness(trials, 3.0)
    assert row == {"limit": 3.0, "first try": 4 / 8, "within three": 1 / 2, "clone": 1 / 4}


def test_a_limit_is_set_on_the_other_half_of_the_speakers() -> None:
    trials = []
    for speaker, (stranger, own) in {"a": (2.0, 5.0), "b": (3.0, 2.5)}.items():
        trials += [scored("other speaker", speaker, 0, stranger, 0.5) for _ in range(2)]
        trials += [scored("cut, 1 voice", speaker, 0, 9.0, 0.5)]  # which no limit would refuse
        trials += [scored(TRUE, speaker, 0, own, 0.5) for _ in range(3)]
    found = consent_report.limit_of_other_speakers(trials)
    # a is judged by b's limit, just over 3, and b by a's, just over 2.
    assert found["limits"] == pytest.approx([3.0, 2.0]) and min(found["limits"]) > 2.0
    accepted = {name: share["value"] for name, share in found["accepted"].items()}
    assert accepted["first try"] == 1.0 and accepted["within three"] == 1.0
    assert accepted["other speaker"] == 0.5 and accepted["cut, 1 voice"] == 1.0


def test_statements_drawn_from_transcripts() -> None:
    rng = np.random.default_rng(0)
    for text in TEXTS:
        own = consent.drawn_statement(text, rng)
        said = [text[start:end] for start, end in own.phrase]
        assert len(said) == 4 and all(len(word) >= 5 for word in said)
        other = consent.drawn_statement(text, rng, WORDS)
        words = [other.text[start:end] for start, end in other.phrase]
        assert set(words) <= set(WORDS) and not set(words) & set(text.split())
        last = consent.drawn_statement(text, rng, last=True)
        assert list(last.phrase) == consent.phrase_places(text)[-4:]
    assert consent.phrase_places("...") == [] == consent.phrase_places("It is so.")


def test_joined_recordings_have_one_level_and_no_gap() -> None:
    tone = np.sin(np.arange(2 * RATE) / 10).astype(np.float32)
    silence = np.zeros(RATE, np.float32)
    one = np.concatenate([silence, 0.5 * tone, silence])
    two = np.concatenate([silence, 0.05 * tone, silence])
    made = consent.joined(one, two)
    assert 4 * RATE <= len(made) < 4.8 * RATE
    assert np.abs(made[-RATE:]).max() == pytest.approx(0.5, rel=0.1)


@pytest.fixture
def manifest(tmp_path: Path, babble: NDArray[np.float32]) -> Path:
    """Two speakers with three recordings each, of babble."""
    rows = []
    for number, speaker in enumerate("ab"):
        for turn, text in enumerate(TEXTS):
            audio = f"{speaker}{turn}.wav"
            turned = np.roll(np.tile(babble, 3), 5000 * (3 * number + turn))
            soundfile.write(tmp_path / audio, turned * 0.5, RATE)
            rows.append({"audio": audio, "speaker": speaker, "text": text, "seconds": 9.0})
    (tmp_path / "heldout.txt").write_text("a\nb\n")
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_trials_of_every_kind_are_made_and_an_untrained_model_accepts_none(
    manifest: Path, debug_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "runs" / "consent.json"
    words = ["evaluate", "consent", "--bundle", str(debug_bundle), "--threads", "1", "-q"]
    words += ["--manifest", str(manifest), "--heldout", str(manifest.with_name("heldout.txt"))]
    assert main([*words, "--trials", "2", "-o", str(target)]) == 0, capsys.readouterr().err
    found = json.loads(target.read_text())
    assert list(found["kinds"]) == list(KINDS)
    assert all(kind["trials"] == 2 for kind in found["kinds"].values())
    assert found["settings"]["limits"]["WORD_LIMIT"] < 0
    assert found["kinds"]["replay"]["faults"]["it was used before"] == 2
    assert sum(kind["accepted"]["value"] for kind in found["kinds"].values()) == 0
    assert "equal error rate" in capsys.readouterr().out
    for wrong in (["--trials", "0"], ["--speakers", "1"], ["--speakers", "3"]):
        assert main([*words, *wrong, "-o", str(target)]) == 2


def test_too_few_speakers_are_an_error(manifest: Path) -> None:
    manifest.with_name("heldout.txt").write_text("a\n")
    with pytest.raises(UsageError, match="1 speakers.*two such speakers"):
        consent.read_talkers(manifest, manifest.with_name("heldout.txt"))
