"""Cost against length: of the speech, and of the prompt."""

from __future__ import annotations

from itertools import cycle, islice

from material import SENTENCES, SPOKEN_SECONDS, Material, voice_of
from timing import interleaved

SECONDS_A_SENTENCE = 5.0


def measure(
    material: Material, seconds: tuple[float, ...], prompts: tuple[float, ...], repeats: int
) -> dict[str, object]:
    """Seconds of work for speech of each length; RTF and first sound for prompts of each length."""
    model = material.model
    voices = {length: voice_of(model, length) for length in prompts}

    def speak(length: float) -> None:
        count = max(1, round(length / SECONDS_A_SENTENCE))
        text = " ".join(islice(cycle(SENTENCES), count)) if length > 1.0 else "Good morning."
        model.speak(text, material.voice, redo=0, duration=length)

    said = interleaved({str(s): (lambda s=s: speak(s)) for s in seconds}, repeats)
    prompted = interleaved(
        {
            str(length): lambda voice=voice: model.speak(
                SENTENCES[0], voice, redo=0, duration=SPOKEN_SECONDS
            )
            for length, voice in voices.items()
        },
        repeats,
    )
    first = interleaved(
        {
            str(length): lambda voice=voice: next(model.stream(SENTENCES[0], voice))
            for length, voice in voices.items()
        },
        repeats,
    )
    tens = {length: said[str(length)] for length in (10.0, 60.0) if str(length) in said}
    result: dict[str, object] = {}
    if len(tens) == 2:
        result["sixty_over_six_tens"] = round(tens[60.0].wall / (6 * tens[10.0].wall), 3)
        result["sixty_over_six_tens_cpu"] = round(tens[60.0].cpu / (6 * tens[10.0].cpu), 3)
    return result | {
        "speech_s": {length: round(lap.wall, 4) for length, lap in said.items()},
        "speech_cpu_s": {length: round(lap.cpu, 4) for length, lap in said.items()},
        "prompt_rtf": {n: round(lap.wall / SPOKEN_SECONDS, 4) for n, lap in prompted.items()},
        "prompt_first_sound_ms": {n: round(lap.wall * 1e3, 1) for n, lap in first.items()},
    }
