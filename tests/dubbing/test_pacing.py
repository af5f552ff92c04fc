"""Which cues are spoken again, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import valle
from valle.dubbing.fitting import Slot
from valle.dubbing.pacing import PacedCue, ignore_progress, speak_in_time
from valle.dubbing.speaking import _FADING, CueLength, CueRequest, CueSpeaker, CueSpeech

NOBODY: Any = None  # nothing is spoken here


class ScriptedSpeaker(CueSpeaker):
    """Takes the length asked for, or its own; how much of it is wrong is given."""

    def __init__(
        self,
        lengths: dict[str, float],
        errors: dict[str, Sequence[float]] | None = None,
        shortest: float = 0.0,
        missed: float = 1.0,
    ) -> None:
        self.asked: list[CueRequest] = []
        self._lengths, self._errors = lengths, errors or {}
        self._shortest, self._missed = shortest, missed

    def measure_all(self, requests: Sequence[CueRequest]) -> Iterator[tuple[int, CueLength]]:
        for index, request in enumerate(requests):
            seconds = self._lengths[request.text]
            yield index, CueLength(seconds, seconds + _FADING, 1)

    def speak_all(self, requests: Sequence[CueRequest]) -> Iterator[tuple[int, CueSpeech]]:
        for index, request in enumerate(requests):
            earlier = sum(each.text == request.text for each in self.asked)
            self.asked.append(request)
            own = self._lengths[request.text]
            total = max(self._shortest, request.seconds or own)
            sound = total * self._missed if request.seconds else total
            words = (("word", 0.0, sound + _FADING),)
            errors = self._errors.get(request.text, [0.1, 0.1])[earlier]
            yield index, CueSpeech("", b"", total, -16.0, 0, sound, 3, (), (), errors, words)


def speak(speaker: ScriptedSpeaker, texts: Sequence[str]) -> list[PacedCue]:
    """Speak cues that have two seconds each, far from each other."""
    requests = [CueRequest(text, NOBODY, 0) for text in texts]
    slots = [Slot(10.0 * i, 10.0 * i + 2.0, 10.0 * i + 2.0) for i in range(len(texts))]
    return speak_in_time(speaker, requests, slots, 1.35, ignore_progress)


def test_every_cue_is_spoken_once_for_the_length_that_fits() -> None:
    speaker = ScriptedSpeaker({"short": 1.0, "long": 2.2, "far": 1.0})
    short, long, far = speak(speaker, ["short", "long", "far"])
    assert [request.text for request in speaker.asked] == ["short", "long", "far"]
    assert [request.seconds is None for request in speaker.asked] == [True, False, True]
    assert 1.0 < short.factor == far.factor < 1.03  # a little of the pace of their neighbor
    assert long.natural_word_seconds == pytest.approx(2.2 + _FADING)
    assert long.speech.seconds / long.factor == pytest.approx(2.0 - 0.02)


def test_what_misses_its_length_is_asked_for_another() -> None:
    speaker = ScriptedSpeaker({"long": 2.2}, missed=0.9)
    (cue,) = speak(speaker, ["long"])
    first, second = [request.seconds or 0.0 for request in speaker.asked]
    assert second > first
    assert cue.speech.seconds / cue.factor == pytest.approx(2.0 - 0.02)


def test_what_cannot_be_faster_is_not_tried_again() -> None:
    speaker = ScriptedSpeaker({"long": 4.0}, shortest=3.0)
    (cue,) = speak(speaker, ["long"])
    assert len(speaker.asked) == 1
    assert cue.speech.seconds == 3.0


@pytest.mark.parametrize(
    ("errors", "spoken", "kept"),
    [
        ([0.15], 1, 0.15),  # about as clear as the others
        ([0.3, 0.2], 2, 0.2),
        ([0.3, 0.24, 0.25], 3, 0.24),  # twice, and no more
        ([0.3, 0.4, 0.4], 3, 0.3),
    ],
)
def test_what_is_less_clear_than_the_rest_is_spoken_again(
    errors: list[float], spoken: int, kept: float
) -> None:
    lengths = {"long": 2.2, "short": 1.0, "third": 1.0, "fourth": 1.0}
    speaker = ScriptedSpeaker(lengths, {"long": errors, "short": [0.5]})
    long, short, *_ = speak(speaker, list(lengths))
    attempts = [request.attempt for request in speaker.asked if request.text == "long"]
    assert attempts == list(range(spoken))
    assert long.speech.phoneme_error_rate == kept
    assert short.speech.phoneme_error_rate == 0.5  # at its own pace, nothing made it unclear


def test_a_measured_cue_is_as_long_as_it_is_spoken(model: valle.Model, voice: valle.Voice) -> None:
    speaker = CueSpeaker(model, retries=0)
    request = CueRequest("Oh no. So be it.", voice, 3)
    length = speaker.measure(request)
    speech = speaker.speak(request)
    assert length.total_seconds == pytest.approx(speech.total_seconds)
    assert length.sentences == 2
    assert 0 < length.seconds <= length.total_seconds
    again = speaker.speak(CueRequest(request.text, voice, 3, attempt=1))
    assert again.flac != speech.flac
