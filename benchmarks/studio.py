"""The studio: the page in headless Chromium, on a server of its own; prints JSON.

    python benchmarks/studio.py --minutes 10            # the figures of docs/PAGE.md
    python benchmarks/studio.py --repeats 3 --only first_audio cancel

The page is pressed and read as people do. Of its player, each block is looked at on the thread of
the sound: times end with the first block that is not silent, or the first one that is. What the
sound card adds is not in them. `playing` lasts as long as its text does. Page and server share the
machine. Linux only, with the extra `serve`, playwright and Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from load_clients import describe_machine, make_text, start_server
from studio_page import FLAGS, Studio

_CHARACTERS_PER_SECOND = 14  # of speech
_CHAPTERS = 30
_WORDS = 28_000  # 3 h of speech
_CUES = 2700  # one every 4 s
_LISTENING = 1000  # milliseconds that are heard before somebody stops it
_WORDS_PER_MINUTE = 150  # of somebody who reads aloud
_SCROLL = """
async () => {
  const frames = [];
  let before = await new Promise(requestAnimationFrame);
  const place = document.querySelector(".cues-scroll") ?? document.documentElement;
  for (let top = 0; top < place.scrollHeight && frames.length < 300; top += 400) {
    place.scrollTop = top;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before);
    before = now;
  }
  place.scrollTop = 0;
  return { frames: frames.length, longest_ms: Math.max(...frames) };
}
"""


def describe_times(times: list[float]) -> dict[str, float]:
    """Return figures of some times in ms."""
    return {"count": len(times), "median_ms": round(median(times)), "most_ms": round(max(times))}


def take_time(act: Callable[[], object]) -> int:
    """Return how many ms something takes."""
    began = time.monotonic()
    act()
    return round(1000 * (time.monotonic() - began))


def measure_opening(studio: Studio, options: argparse.Namespace) -> dict[str, Any]:
    """From the address to the first paint, and what was sent for it, with an empty cache."""
    paints = []
    for _ in range(options.repeats):
        studio.context.new_cdp_session(studio.page).send("Network.clearBrowserCache")
        studio.open()
        studio.page.get_by_role("button", name="Speak", exact=True).wait_for()
        paints.append(
            studio.page.evaluate(
                "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
        )
    sent = "() => performance.getEntriesByType('resource').map((one) => one.transferSize)"
    sizes = studio.page.evaluate(sent)
    return {
        "first_paint": describe_times(paints),
        "requests": 1 + len(sizes),
        "kilobytes": round(sum(sizes) / 1000),
    }


def measure_first_audio(studio: Studio, options: argparse.Namespace) -> dict[str, Any]:
    """From the press of the button to sound: in a page just opened, and again and again."""
    rng = random.Random(1)
    times, server = [], []
    for _ in range(options.repeats + 1):
        studio.write(make_text(rng, 2))
        times.append(studio.wait("heard")["time"] - studio.wait("pressed")["time"])
        server.append(studio.wait("answered")["time"] - studio.wait("asked")["time"])
        studio.finish()
    return {
        "first_press_ms": round(times[0]),
        "warm": describe_times(times[1:]),
        "of_it_server": describe_times(server[1:]),
        "of_it_page": describe_times(
            [whole - part for whole, part in zip(times, server, strict=True)][1:]
        ),
    }


def measure_cancel(studio: Studio, options: argparse.Namespace) -> dict[str, Any]:
    """From the press of Stop to silence."""
    rng = random.Random(2)
    times = []
    for _ in range(options.repeats):
        studio.write(make_text(rng, 40))
        studio.wait("heard")
        studio.page.wait_for_timeout(_LISTENING)
        studio.page.evaluate("() => { bench.events = [] }")
        studio.press("Stop")
        times.append(studio.wait("silent")["time"] - studio.wait("pressed")["time"])
        studio.finish()
    return describe_times(times)


def measure_playing(studio: Studio, options: argparse.Namespace) -> dict[str, Any]:
    """A text of some minutes plays in real time while it is made."""
    rng, text = random.Random(3), ""
    while len(text) < options.minutes * 60 * _CHARACTERS_PER_SECOND:
        text += make_text(rng, 5) + "\n\n"
    worked = studio.server.processor_seconds()
    studio.write(text)
    began = studio.wait("heard")
    ended = studio.wait("ended")
    tasks = studio.page.evaluate("() => bench.tasks")
    seconds = ended["at"] / ended["rate"]
    return {
        "seconds_of_speech": round(seconds, 1),
        "gaps": ended["waits"],
        "seconds_of_gaps": round(ended["gaps"] * 128 / ended["rate"], 3),
        "least_buffered_s": round(ended["least"], 2) if ended["least"] is not None else None,
        "longer_by_the_clock_s": round((ended["time"] - began["time"]) / 1000 - seconds, 2),
        "server_processor_s": round(studio.server.processor_seconds() - worked, 1),
        "tasks_over_50_ms": len(tasks),
        "longest_task_ms": round(max(tasks, default=0)),
        "words_shown": studio.page.locator(".sentences .word").count(),
        **studio.measure_size(),
    }


def write_novel(folder: str) -> Path:
    """Write a book of 3 h; its first chapter is a moment long, so that it can be spoken here."""
    rng = random.Random(4)
    parts = ["# Chapter 1\n\nThis is all there is of it."]
    for number in range(2, _CHAPTERS + 1):
        paragraphs: list[str] = []
        while sum(len(one.split()) for one in paragraphs) < _WORDS / (_CHAPTERS - 1):
            paragraphs.append(make_text(rng, 5))
        parts.append(f"# Chapter {number}\n\n" + "\n\n".join(paragraphs))
    path = Path(folder, "novel.md")
    path.write_text("\n\n".join(parts))
    return path


def measure_project(studio: Studio, _options: argparse.Namespace) -> dict[str, Any]:
    """A project of 3 h; its first chapter alone is spoken, then the others are stopped."""
    page = studio.page

    def wait_for_chapters() -> None:
        count = f"() => document.querySelectorAll('.chapter').length === {_CHAPTERS}"
        page.wait_for_function(count)

    def create() -> None:
        page.get_by_label("Drop a book or a script here, or choose one").set_input_files(novel)
        wait_for_chapters()

    def open_list() -> None:
        page.evaluate("() => { location.hash = 'projects' }")
        page.locator(".project-link").wait_for()

    def open_project() -> None:
        page.locator(".project-link").click()
        wait_for_chapters()

    def reload() -> None:
        studio.open(place)
        wait_for_chapters()

    def speak_first() -> None:
        studio.press("Speak it all")
        page.locator(".chapter").first.locator(".badge.good").wait_for()

    def change_text() -> None:
        studio.press(f"Change the text of Chapter {_CHAPTERS}")
        page.get_by_label("The text of the chapter").wait_for()

    def stop() -> None:
        studio.press("Stop")
        page.get_by_role("button", name="Speak the rest").wait_for()

    def play() -> None:
        studio.press("Play Chapter 1")
        page.wait_for_function("() => document.querySelector('.chapter audio')?.duration > 0.5")

    with tempfile.TemporaryDirectory() as folder:
        novel = write_novel(folder)
        words = len(novel.read_text().split())
        page.evaluate("() => { location.hash = 'projects' }")
        result: dict[str, Any] = {"words": words, "created_ms": take_time(create)}
    place = page.evaluate("() => location.hash")
    result |= {"listed_ms": take_time(open_list), "opened_ms": take_time(open_project)}
    result |= {"loaded_again_ms": take_time(reload), "scroll": page.evaluate(_SCROLL)}
    result |= {"text_of_a_chapter_ms": take_time(change_text)}
    page.keyboard.press("Escape")
    result |= {"first_chapter_spoken_ms": take_time(speak_first)}
    result |= {"all_stopped_ms": take_time(stop)}
    reload()
    kept = page.locator(".chapter").first.locator(".badge.good").count() == 1
    return result | {
        "kept_over_a_reload": kept,
        "played_ms": take_time(play),
        **studio.measure_size(),
    }


def measure_film(studio: Studio, _options: argparse.Namespace) -> dict[str, Any]:
    """A film of 3 h whose subtitles are read and looked through; nothing of it is spoken."""
    page, rng = studio.page, random.Random(5)

    def tell(second: int) -> str:
        return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02},000"

    cues = [
        f"{number}\n{tell(4 * number)} --> {tell(4 * number + 3)}\nADA: {make_text(rng, 1)}\n"
        for number in range(1, _CUES + 1)
    ]
    film = {"name": "film.mp4", "mimeType": "video/mp4", "buffer": b"of no use"}
    subtitles = {"name": "film.srt", "mimeType": "text/plain", "buffer": "\n".join(cues).encode()}

    def create() -> None:
        page.get_by_label("Drop its subtitles here, or choose them").set_input_files(subtitles)
        page.wait_for_function(f"() => document.querySelectorAll('.cue-words').length === {_CUES}")

    def change_text() -> None:
        studio.press(f"Change the text of cue {_CUES}")
        page.get_by_label(f"Text of cue {_CUES}", exact=True).wait_for()

    page.evaluate("() => { location.hash = 'dub' }")
    page.get_by_label("Drop a film here, or choose one").set_input_files(film)
    result: dict[str, Any] = {"cues": _CUES, "created_ms": take_time(create)}
    result["scroll"] = page.evaluate(_SCROLL)
    return result | {"text_of_a_cue_ms": take_time(change_text), **studio.measure_size()}


def measure_newcomer(studio: Studio, _options: argparse.Namespace) -> dict[str, Any]:
    """A new voice: what the page and server take of it, on the speaker's word, and what is read."""
    page = studio.page
    page.evaluate("() => { location.hash = 'voices/new' }")
    page.get_by_label("Whose voice is it?").fill("Grace")
    studio.press("Continue")
    studio.press("Record")
    page.locator(".recorder:has(.recording) :text('0:08')").wait_for()
    studio.press("Stop recording")
    rated = take_time(lambda: page.get_by_text("of 100").first.wait_for())
    studio.press("Show the text")
    statement = page.get_by_text("My name is Grace").last.inner_text()
    page.get_by_text("The owner cannot read it now").click()
    page.get_by_label("I hold the rights to this voice").check()
    studio.press("Make the voice on my word")
    made = take_time(lambda: page.get_by_text("Grace is ready.").wait_for())
    studio.write("This is my own voice.")
    sound = studio.wait("heard")["time"] - studio.wait("pressed")["time"]
    words = len(statement.split())
    return {
        "recording_rated_ms": rated,
        "voice_made_ms": made,
        "first_audio_ms": round(sound),
        "statement_words": words,
        "statement_s_at_150_words_per_minute": round(60 * words / _WORDS_PER_MINUTE),
    }


PARTS: dict[str, Callable[[Studio, argparse.Namespace], dict[str, Any]]] = {
    "opening": measure_opening,
    "first_audio": measure_first_audio,
    "cancel": measure_cancel,
    "playing": measure_playing,
    "project": measure_project,
    "film": measure_film,
    "newcomer": measure_newcomer,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10.0, help="of speech, in real time")
    parser.add_argument("--repeats", type=int, default=10, help="of what takes moments")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--bundle", help="folder of a bundle (default: the built-in one)")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    result = describe_machine()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with start_server(options.bundle) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        result["chromium"] = browser.version
        for name in options.only:
            studio = Studio(browser, server)
            studio.page.get_by_role("button", name="Speak", exact=True).wait_for()
            result[name] = PARTS[name](studio, options)
            if studio.faults:
                result[name]["faults"] = studio.faults
            print(f"{name}: {json.dumps(result[name])}", file=sys.stderr)
            studio.context.close()
        browser.close()
    result["load_after"] = round(os.getloadavg()[0], 2)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
