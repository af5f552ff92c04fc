"""The sample page opens from disk, shows where a clip is, and lights its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser import open_browser
from valle.errors import OutputError
from valle.evaluation.item_clips import ItemClip
from valle.evaluation.items import Item
from valle.evaluation.metrics.word_errors import WordErrors
from valle.evaluation.protocols.zero_shot import SYNTHESIZED
from valle.evaluation.samples.clips import SampleClip, select_worst
from valle.evaluation.samples.page import PageText, draw_spectrogram, write_page

RATE = 16_000


def make_clip(item: Item, seed: int, wrong: int = 0) -> SampleClip:
    time = np.arange(2 * RATE) / RATE
    samples = (0.2 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    words = (("<b>it", 0.2, 0.8), ("rains", 0.8, 1.9))
    clip = ItemClip(item, SYNTHESIZED, samples, seed, words)
    errors = WordErrors("it rains", "it <i>", wrong, 0, 0, 2, wrong, 8)
    return SampleClip(clip, item.text, 0.8, 0.1, errors, "it <i>", changed=(0.8, 1.9))


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the extra plot")
    item = Item("k", "<u>ada", "<b>It rains.", Path("p.wav"))
    page = write_page(tmp_path / "page", [[make_clip(item, 0)]], PageText("A & B", "<p>"))
    with open_browser(tmp_path / "profile") as browser:
        tab = browser.context.new_page()
        tab.goto(page.as_uri())
        assert tab.locator("h1").inner_text() == "A & B"
        assert tab.locator("h2").inner_text() == "<b>It rains."
        assert tab.locator("figcaption del").inner_text() == "rains"
        assert tab.locator("figcaption ins").inner_text() == "<i>"
        word = tab.locator(".words button").nth(1)
        assert "changed" in word.get_attribute("class")
        word.click()
        tab.locator(".words button.on", has_text="rains").wait_for()
        assert tab.evaluate("document.querySelector('img').naturalWidth") > 100
        assert browser.errors == []


def test_the_spectrogram_shows_a_tone_at_its_place() -> None:
    time = np.arange(RATE) / RATE
    low, high = (
        int(np.argmax(draw_spectrogram(np.sin(2 * np.pi * pitch * time)).sum(axis=1)))
        for pitch in (300, 3000)
    )
    assert low > high + 20  # low tones are at the bottom
    assert draw_spectrogram(np.zeros(0, np.float32)).shape[1] == 1


def test_the_worst_clips_come_first() -> None:
    items = [Item(f"k{number}", "ada", "It rains.", Path("p.wav")) for number in range(3)]
    groups = [
        [make_clip(item, seed, wrong) for seed, wrong in enumerate(counts)]
        for item, counts in zip(items, [(0, 1), (2, 0), (0, 0)], strict=True)
    ]
    worst = select_worst(groups, 2)
    assert [group[0].clip.item.key for group in worst] == ["k1", "k0"]
    assert [len(group) for group in worst] == [1, 1]
    assert worst[1][0].clip.seed == 1


def test_a_page_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PIL", reason="needs the extra plot")
    item = Item("k", "ada", "It rains.", Path("p.wav"))
    for title in ("first", "second"):
        write_page(tmp_path / "page", [[make_clip(item, 0)]], PageText(title, ""), force=True)
    assert "<h1>second" in (tmp_path / "page" / "index.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    monkeypatch.setattr(
        "valle.evaluation.samples.page._fill_page", lambda *_: exec("raise OSError")
    )
    with pytest.raises(OutputError):
        write_page(tmp_path / "page", [[make_clip(item, 0)]], PageText("third", ""), force=True)
    assert "<h1>second" in (tmp_path / "page" / "index.html").read_text()
