"""Cost by length of the speech and of the prompt."""

from __future__ import annotations

from functools import partial
from itertools import cycle, islice

from material import SENTENCES, SPEECH_SECONDS, Material, enroll_seconds
from timing import interleaved
from valle import Voice

SECONDS_PER_SENTENCE = 5.0


def measure(
    material: Material, seconds: tuple[float, ...], prompts: tuple[float, ...], repeats: int
) -> dict[str, object]:
    """Seconds of work for speech of each length; RTF and TTFA for prompts of each length.

    Args:
        material: model and voice.
        seconds: lengths of speech.
        prompts: lengths of prompts, in seconds.
        repeats: laps of each.
    """
    model = material.model
    voices = {length: enroll_seconds(model, length) for length in prompts}

    def speak(length: float) -> None:
        count = max(1, round(length / SECONDS_PER_SENTENCE))
        text = " ".join(islice(cycle(SENTENCES), count)) if length > 1.0 else "Good morning."
        model.speak(text, material.voice, retries=0, duration=length)

    def speak_prompted(voice: Voice) -> None:
        model.speak(SENTENCES[0], voice, retries=0, duration=SPEECH_SECONDS)

    def begin_stream(voice: Voice) -> None:
        next(model.stream(SENTENCES[0], voice))

    speech = interleaved({str(length): partial(speak, length) for length in seconds}, repeats)
    prompted = interleaved(
        {str(length): partial(speak_prompted, voice) for length, voice in voices.items()},
        repeats,
    )
    first = interleaved(
        {str(length): partial(begin_stream, voice) for length, voice in voices.items()},
        repeats,
    )
    laps = {length: speech[str(length)] for length in (10.0, 60.0) if str(length) in speech}
    result: dict[str, object] = {}
    if len(laps) == 2:
        result["sixty_over_six_tens"] = round(laps[60.0].wall / (6 * laps[10.0].wall), 3)
        result["sixty_over_six_tens_cpu"] = round(laps[60.0].cpu / (6 * laps[10.0].cpu), 3)
    return result | {
        "speech_s": {length: round(lap.wall, 4) for length, lap in speech.items()},
        "speech_cpu_s": {length: round(lap.cpu, 4) for length, lap in speech.items()},
        "prompt_rtf": {n: round(lap.wall / SPEECH_SECONDS, 4) for n, lap in prompted.items()},
        "prompt_ttfa_ms": {n: round(lap.wall * 1e3, 1) for n, lap in first.items()},
    }
