"""Listening tests in a real browser, from the folder of clips to the figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from browser import Browser, open_browser
from valle.audio.loudness import measure_loudness
from valle.cli.main import main
from valle.errors import OutputError, UsageError
from valle.evaluation.listening import page
from valle.evaluation.listening.options import ListeningOptions
from valle.evaluation.listening.page import make_anchor, read_material, write_test

RATE = 16_000


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three items by two systems at different levels, and references."""
    rng = np.random.default_rng(0)
    for system, level in (("ours", 0.02), ("theirs", 0.3), ("truth", 0.1)):
        (tmp_path / system).mkdir()
        for item in "abc":
            samples = (level * rng.standard_normal(RATE // 4)).astype(np.float32)
            soundfile.write(tmp_path / system / f"{item}.wav", samples, RATE)
    return tmp_path


def make_test(clips: Path, kind: str, *more: str) -> Path:
    folder = clips / f"test-{kind}"
    systems = [f"--system=ours={clips / 'ours'}", f"--system=theirs={clips / 'theirs'}"]
    reference = [f"--reference={clips / 'truth'}"] if kind in ("smos", "mushra") else []
    command = ["listening-test", "--kind", kind, "-o", str(folder), *systems, *reference, *more]
    assert main(command) == 0
    return folder


def hear_and_rate(page: Any, kind: str, rating: str) -> None:
    """Answer one trial as a listener would."""
    assert page.locator("#next").is_disabled()
    scale = page.locator("fieldset input, input[type=range]")
    assert all(scale.nth(index).is_disabled() for index in range(scale.count()))
    buttons = page.locator(".clip button")
    for index in range(buttons.count()):
        assert scale.first.is_disabled()  # until the last one was heard to its end
        buttons.nth(index).click()
        page.locator(".clip").nth(index).locator(
            "xpath=self::*[contains(@class,'heard')]"
        ).wait_for()
    if kind == "mushra":
        for index in range(scale.count()):
            page.locator("input[type=range]").nth(index).fill(rating)
    else:
        page.locator(f"input[value='{rating}']").check()
    page.locator("#next").click()


@pytest.mark.parametrize(
    ("kind", "trials", "rating", "expected"),
    [
        ("preference", 3, "0", {"ours over theirs": 0.5}),
        ("cmos", 3, "0", {"ours over theirs": 0.0}),
        ("smos", 3, "4", {"ours": 4.0, "theirs": 4.0}),
        ("mushra", 2, "95", {"ours": 95.0, "theirs": 95.0, "anchor": 95.0, "reference": 95.0}),
    ],
)
def test_a_listener_answers(
    kind: str,
    trials: int,
    rating: str,
    expected: dict[str, float],
    browser: Browser,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_test(clips, kind, "--per-listener", str(trials))
    url = f"{(folder / 'index.html').as_uri()}?listener=2"
    page = browser.context.new_page()
    page.goto(url)
    page.locator("#begin").click()
    hear_and_rate(page, kind, rating)
    assert page.locator("#progress").inner_text() == f"2 of {trials}"
    page.close()
    page = browser.context.new_page()  # the tab was closed, and is opened again
    page.goto(url)
    page.locator("#trial").wait_for()
    assert page.locator("#progress").inner_text() == f"2 of {trials}"
    for _ in range(trials - 1):
        hear_and_rate(page, kind, rating)
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "answers.csv")
    assert page.locator("#code").inner_text()
    page.close()
    assert browser.errors == []
    capsys.readouterr()
    results = ["listening-test", "results", str(tmp_path / "answers.csv"), "--json"]
    assert main([*results, "--key", f"{folder}.key.json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert {result["name"]: result["mean"] for result in outcome["results"]} == expected


def test_clips_have_one_loudness_and_names_that_say_nothing(clips: Path) -> None:
    folder = make_test(clips, "preference")
    page = (folder / "index.html").read_text()
    key = json.loads(Path(f"{folder}.key.json").read_text())
    assert "ours" not in page
    assert "theirs" not in page
    assert len(key["clips"]) == 6
    for name in key["clips"]:
        samples, rate = soundfile.read(folder / "clips" / f"{name}.flac", dtype="float32")
        assert measure_loudness(samples, rate) == pytest.approx(-23.0, abs=0.1)


def test_text_of_the_user_stays_text(clips: Path) -> None:
    folder = make_test(clips, "cmos", "--title", "</script><b>x", "--question", "{{TEST}} <i>?")
    page = (folder / "index.html").read_text()
    assert "</script><b>" not in page
    assert "{{TEST}} &lt;i&gt;?" in page
    assert page.count("</script>") == 2


def test_the_anchor_lacks_what_is_above_its_limit() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(make_anchor(noise, RATE))) ** 2
    assert power[4100:].sum() < 1e-6 * power[:3400].sum()
    assert power[:3400].sum() == pytest.approx((np.abs(np.fft.rfft(noise)) ** 2)[:3400].sum())


def test_what_cannot_be_compared_is_refused(clips: Path) -> None:
    def read(kind: str, systems: dict[str, Path], reference: Path | None = None) -> None:
        read_material(systems, reference, ListeningOptions.from_keywords(kind=kind))

    ours, truth = clips / "ours", clips / "truth"
    with pytest.raises(UsageError, match="2 systems or more"):
        read("cmos", {"ours": ours})
    with pytest.raises(UsageError, match="--reference"):
        read("mushra", {"ours": ours})
    with pytest.raises(UsageError, match="has no clips"):
        read("smos", {"ours": clips / "nothing"}, truth)
    with pytest.raises(UsageError, match="cannot be called"):
        read("smos", {"reference": ours}, truth)
    (clips / "other").mkdir()
    soundfile.write(clips / "other" / "z.wav", np.zeros(RATE), RATE)
    with pytest.raises(UsageError, match="no clip of the same name"):
        read("cmos", {"ours": ours, "other": clips / "other"})
    with pytest.raises(UsageError, match="--kind"):
        ListeningOptions.from_keywords(kind="abx")


def test_an_existing_test_is_not_replaced(clips: Path) -> None:
    folder = make_test(clips, "cmos")
    before = (folder / "index.html").read_bytes()
    systems = [f"--system={name}={clips / name}" for name in ("ours", "theirs")]
    assert main(["listening-test", "-o", str(folder), *systems]) == 7
    assert (folder / "index.html").read_bytes() == before


def test_a_folder_of_somebody_else_stays(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program writes to the folder while the clips are made."""
    options = ListeningOptions.from_keywords()
    systems = {name: clips / name for name in ("ours", "theirs")}
    material, folder = read_material(systems, None, options), clips / "test"
    describe = page._describe_test

    def write_meanwhile(*arguments: Any) -> dict[str, Any]:
        (folder / "theirs").mkdir(parents=True)
        return describe(*arguments)

    monkeypatch.setattr(page, "_describe_test", write_meanwhile)
    with pytest.raises(OutputError, match="cannot write"):
        write_test(folder, material, options)
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert not (clips / "test.key.json").exists()


def test_no_test_stays_without_its_key(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ListeningOptions.from_keywords()
    systems = {name: clips / name for name in ("ours", "theirs")}
    material, key_path = read_material(systems, None, options), clips / "test.key.json"
    describe = page._describe_test

    def write_meanwhile(*arguments: Any) -> dict[str, Any]:
        key_path.write_text("theirs")
        return describe(*arguments)

    monkeypatch.setattr(page, "_describe_test", write_meanwhile)
    with pytest.raises(OutputError, match="exists already"):
        write_test(clips / "test", material, options)
    assert key_path.read_text() == "theirs"
    assert not (clips / "test").exists()
