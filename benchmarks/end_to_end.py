"""End to end: RTF with the check, time to first audio, and eight sentences at once against one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from material import SENTENCES, SPEECH_SECONDS, Material, generate_frames, random_prompt
from timing import Job, interleaved
from valle.runtime.ar import ARDecoder

CONCURRENT = 8


def measure(material: Material, repeats: int) -> dict[str, object]:
    """RTF, milliseconds to the first audio with all graphs loaded, and the gain of batching."""
    model, voice, symbols = material.model, material.voice, material.sentence()
    decoder = ARDecoder(model.bundle)
    prompt = random_prompt(decoder, len(voice.frame_symbol), symbols)
    seeds = iter(range(10**9))

    def speak(number: int = 0) -> None:
        text = SENTENCES[number % len(SENTENCES)]
        model.speak(text, voice, retries=0, seed=next(seeds), duration=SPEECH_SECONDS)

    def stream_first() -> None:
        next(model.stream(SENTENCES[0], voice, seed=next(seeds)))

    def run_steps(number: int = 0) -> None:
        list(generate_frames(decoder, prompt, symbols, material.frames, number))

    laps = interleaved(
        {
            "speak": speak,
            "first": stream_first,
            "ar": run_steps,
            "eight": run_concurrently(speak),
            "eight_ar": run_concurrently(run_steps),
        },
        repeats,
    )
    return {
        "rtf": round(laps["speak"].wall / SPEECH_SECONDS, 4),
        "rtf_cpu": round(laps["speak"].cpu / SPEECH_SECONDS, 4),
        "ttfa_ms": round(laps["first"].wall * 1e3, 1),
        "ttfa_cpu_ms": round(laps["first"].cpu * 1e3, 1),
        "ar_steps_per_second": round(material.frames / laps["ar"].wall, 1),
        "eight_ar_steps_per_second": round(CONCURRENT * material.frames / laps["eight_ar"].wall, 1),
        "eight_gain_ar": round(CONCURRENT * laps["ar"].wall / laps["eight_ar"].wall, 3),
        "eight_gain_ar_cpu": round(CONCURRENT * laps["ar"].cpu / laps["eight_ar"].cpu, 3),
        "eight_gain": round(CONCURRENT * laps["speak"].wall / laps["eight"].wall, 3),
        "eight_gain_cpu": round(CONCURRENT * laps["speak"].cpu / laps["eight"].cpu, 3),
    }


def run_concurrently(job: Callable[[int], object]) -> Job:
    """A job that runs `job(0)` to `job(7)` in threads of their own."""
    pool = ThreadPoolExecutor(CONCURRENT)
    return lambda: list(pool.map(job, range(CONCURRENT)))
