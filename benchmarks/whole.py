"""All of speaking: RTF with the check, the first sound, and eight at once against one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ar_step import random_prompt
from material import SENTENCES, SPOKEN_SECONDS, Material, said_by_ar
from timing import Job, interleaved
from valle.runtime.ar import ARDecoder

AT_ONCE = 8


def measure(material: Material, repeats: int) -> dict[str, object]:
    """RTF, milliseconds to the first sound with all graphs read, and gains of eight at once."""
    model, voice, symbols = material.model, material.voice, material.sentence()
    decoder = ARDecoder(model.bundle)
    prompt = random_prompt(decoder, len(voice.frame_symbol), symbols)
    seeds = iter(range(10**9))

    def speak(number: int = 0) -> None:
        text = SENTENCES[number % len(SENTENCES)]
        model.speak(text, voice, redo=0, seed=next(seeds), duration=SPOKEN_SECONDS)

    def first_sound() -> None:
        next(model.stream(SENTENCES[0], voice, seed=next(seeds)))

    def steps(number: int) -> None:
        list(said_by_ar(decoder, prompt, symbols, material.frames, number))

    found = interleaved(
        {
            "speak": speak,
            "first": first_sound,
            "ar": lambda: steps(0),
            "eight": together(speak),
            "eight_ar": together(steps),
        },
        repeats,
    )
    return {
        "rtf": round(found["speak"].wall / SPOKEN_SECONDS, 4),
        "rtf_cpu": round(found["speak"].cpu / SPOKEN_SECONDS, 4),
        "first_sound_ms": round(found["first"].wall * 1e3, 1),
        "first_sound_cpu_ms": round(found["first"].cpu * 1e3, 1),
        "ar_steps_per_second": round(material.frames / found["ar"].wall, 1),
        "eight_ar_steps_per_second": round(AT_ONCE * material.frames / found["eight_ar"].wall, 1),
        "eight_gain_ar": round(AT_ONCE * found["ar"].wall / found["eight_ar"].wall, 3),
        "eight_gain_ar_cpu": round(AT_ONCE * found["ar"].cpu / found["eight_ar"].cpu, 3),
        "eight_gain": round(AT_ONCE * found["speak"].wall / found["eight"].wall, 3),
        "eight_gain_cpu": round(AT_ONCE * found["speak"].cpu / found["eight"].cpu, 3),
    }


def together(job: object) -> Job:
    """A job that runs `job(0)` to `job(7)` in threads of their own."""
    pool = ThreadPoolExecutor(AT_ONCE)
    return lambda: list(pool.map(job, range(AT_ONCE)))  # type: ignore[arg-type]
