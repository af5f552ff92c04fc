"""Writes the sample page: a folder with `index.html` that opens from disk, its clips and pictures.

Nothing is loaded from elsewhere and nothing is fetched by script, which browsers refuse to pages on
disk: every clip is an `<audio>` element of its own.
"""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Samples
from valle.audio.encoding import save_audio
from valle.audio.loudness import DEFAULT_LOUDNESS, normalize_loudness
from valle.audio.mel import mel_filters
from valle.errors import OutputError, UsageError
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.samples.clips import SampleClip

_HERE = Path(__file__).parent
_FFT = 512
_ROWS, _COLUMNS_PER_SECOND = 96, 60  # of a picture
_RANGE = 65.0  # dB between black and white
_LEVELS = 16  # of a picture's colors, which keeps it small


@dataclass(frozen=True)
class PageText:
    """What the page says above its clips."""

    title: str
    introduction: str


def write_page(
    folder: Path, groups: Sequence[Sequence[SampleClip]], text: PageText, force: bool = False
) -> Path:
    """Write a page of clips into a folder, which appears whole or not at all.

    Args:
        folder: is made; a page that is there already is replaced if `force`.
        groups: the clips of each item.
        text: title and introduction.
        force: whether a page that is there may be replaced.

    Returns:
        The page's file.

    Raises:
        UsageError: Pillow is not installed.
        OutputError: the folder holds something else, or cannot be written.
    """
    check_page_folder(folder, force)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".valle-") as temporary:
            made = Path(temporary, "page")
            (made / "clips").mkdir(parents=True)
            body = "\n".join(
                _write_group(made, number, group) for number, group in enumerate(groups)
            )
            (made / "index.html").write_text(_fill_page(text, groups, body), encoding="utf-8")
            report = [[_describe(clip) for clip in group] for group in groups]
            (made / "clips.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            if folder.exists():  # moved away, and deleted with the temporary folder
                folder.replace(Path(temporary, "before"))
            made.replace(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder / "index.html"


def check_page_folder(folder: Path, force: bool) -> None:
    """Check that a page may be written into a folder, before any work is done for it.

    Raises:
        OutputError: there is a page and `force` is False, or something that is not a page.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / "clips.json").is_file():
        raise OutputError(f"{folder} is not a sample page; choose another folder")
    if not force:
        raise OutputError(f"{folder} has a page already; replace it with --force")


def draw_spectrogram(samples: Samples) -> NDArray[np.uint8]:
    """A mel spectrogram of samples at 16 kHz as levels 0 to 15, [rows, columns], low tones last."""
    window = np.hanning(_FFT)
    hop = EVALUATION_RATE // _COLUMNS_PER_SECOND
    padded = np.pad(samples.astype(np.float64), (_FFT // 2, _FFT))
    starts = np.arange(0, max(1, len(samples)), hop)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[starts]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    filters = mel_filters(_FFT // 2 + 1, _ROWS, EVALUATION_RATE)
    levels = 10 * np.log10(power @ filters + 1e-9)
    scaled = np.clip(1.0 + (levels - levels.max()) / _RANGE, 0.0, 1.0)
    return np.round(scaled.T[::-1] * (_LEVELS - 1)).astype(np.uint8)


def save_picture(path: Path, levels: NDArray[np.uint8]) -> None:
    """Write levels [rows, columns] as a PNG in the colors from black over violet to yellow.

    Raises:
        UsageError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("the page needs the package pillow: pip install 'valle[plot]'") from error
    image = Image.fromarray(levels)
    stops = np.array([(8, 6, 24), (70, 20, 110), (180, 50, 110), (250, 140, 80), (252, 250, 190)])
    places = np.linspace(0, len(stops) - 1, _LEVELS)
    colors = [np.interp(places, range(len(stops)), stops[:, channel]) for channel in range(3)]
    image.putpalette(np.round(np.stack(colors, axis=1)).astype(np.uint8).tobytes())
    image.save(path, optimize=True, bits=4)


def _write_group(folder: Path, number: int, group: Sequence[SampleClip]) -> str:
    item = group[0].clip.item
    figures = []
    for place, clip in enumerate(group):
        name = f"clips/{number:03d}-{place}-{item.key}"
        samples = normalize_loudness(clip.clip.samples, EVALUATION_RATE, DEFAULT_LOUDNESS)
        save_audio(folder / f"{name}.mp3", samples, EVALUATION_RATE)
        save_picture(folder / f"{name}.png", draw_spectrogram(samples))
        figures.append(_fill_figure(name, clip))
    return (
        f'<article id="{escape(item.key)}">\n<header><h2>{escape(item.text)}</h2>'
        f'<span class="soft">voice {escape(item.speaker)}</span></header>\n'
        + "\n".join(figures)
        + "\n</article>"
    )


def _fill_figure(name: str, clip: SampleClip) -> str:
    seconds = len(clip.clip.samples) / EVALUATION_RATE
    label = _label(clip)
    spot = ""
    if clip.changed is not None:
        start, end = (100 * second / seconds for second in clip.changed)
        spot = f'<span class="new" style="left:{start:.2f}%;width:{end - start:.2f}%"></span>'
    source = escape(name)
    described = f"Spectrogram of {label}"
    return f"""<figure data-seconds="{seconds:.3f}">
<div><h3>{escape(label)}</h3>
<audio controls preload="none" src="{source}.mp3" aria-label="{escape(label)}"></audio></div>
<div><div class="view"><img src="{source}.png" alt="{escape(described)}" loading="lazy">{spot}<span
 class="head"></span></div>{_fill_words(clip)}</div>
<figcaption>{_fill_check(clip)}</figcaption>
</figure>"""


def _label(clip: SampleClip) -> str:
    seed = clip.clip.seed
    return clip.clip.row if seed is None else f"{clip.clip.row}, seed {seed}"


def _fill_words(clip: SampleClip) -> str:
    buttons = []
    seconds = len(clip.clip.samples) / EVALUATION_RATE
    for word, start, end in clip.clip.words or ():
        new = clip.changed is not None and clip.changed[0] <= (start + end) / 2 <= clip.changed[1]
        kind = ' class="changed"' if new else ""
        buttons.append(
            f'<button type="button"{kind} style="--at:{100 * start / seconds:.1f}%" '
            f'data-start="{start:.3f}" data-end="{end:.3f}">{escape(word)}</button>'
        )
    return f'<p class="words">{"".join(buttons)}</p>' if buttons else ""


def _fill_check(clip: SampleClip) -> str:
    """The clip's own check, in HTML."""
    parts = []
    if clip.words is not None:
        words = clip.words
        heard = _mark_differences(words.reference.split(), words.hypothesis.split())
        parts.append(f"heard by Whisper: {heard} ({words.word_edits} of {words.words} words wrong)")
    elif clip.transcript is not None:
        parts.append(f"heard by Whisper: {escape(clip.transcript)}")
    if clip.phoneme_error_rate is not None:
        parts.append(f"phoneme errors by the own recognizer: {clip.phoneme_error_rate:.0%}")
    if clip.similarity is not None:
        parts.append(f"similarity to the prompt: {clip.similarity:.2f}")
    return "; ".join(parts)


def _mark_differences(expected: Sequence[str], heard: Sequence[str]) -> str:
    """What was heard, with missing words struck out and others marked, in HTML."""
    return " ".join(_differences(expected, heard)) or "nothing"


def _differences(expected: Sequence[str], heard: Sequence[str]) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(None, expected, heard, autojunk=False)
    for kind, start, end, heard_start, heard_end in matcher.get_opcodes():
        if kind == "equal":
            yield escape(" ".join(heard[heard_start:heard_end]))
            continue
        if end > start:
            yield f"<del>{escape(' '.join(expected[start:end]))}</del>"
        if heard_end > heard_start:
            yield f"<ins>{escape(' '.join(heard[heard_start:heard_end]))}</ins>"


def _fill_page(text: PageText, groups: Sequence[Sequence[SampleClip]], body: str) -> str:
    keys = [group[0].clip.item for group in groups]
    links = "".join(
        f'<a href="#{escape(item.key)}">{escape(item.speaker)}: {escape(item.key)}</a>'
        for item in keys
    )
    css, script = ((_HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(text.title)}</title>
<style>
{css}</style>
</head>
<body>
<h1>{escape(text.title)}</h1>
<p>{escape(text.introduction)}</p>
<p class="soft">Click into a spectrogram or on a word to hear it from there. Every clip has the same
loudness, {DEFAULT_LOUDNESS:g} LUFS. {len(groups)} texts.</p>
<nav aria-label="Texts">{links}</nav>
<main>
{body}
</main>
<script>
{script}</script>
</body>
</html>
"""


def _describe(clip: SampleClip) -> dict[str, Any]:
    item = clip.clip.item
    return {
        "key": item.key,
        "speaker": item.speaker,
        "clip": clip.clip.row,
        "seed": clip.clip.seed,
        "text": clip.text,
        "seconds": round(len(clip.clip.samples) / EVALUATION_RATE, 3),
        "similarity": clip.similarity,
        "phoneme_error_rate": clip.phoneme_error_rate,
        "transcript": clip.transcript,
        "word_errors": clip.words.word_edits if clip.words else None,
        "words": clip.words.words if clip.words else None,
    }
