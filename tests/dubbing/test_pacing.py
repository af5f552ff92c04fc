"""Which cues are spoken again, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from valle.dubbing.fitting import Slot
from valle.dubbing.pacing import ignore_progress, speak_in_time
from valle.dubbing.speaking import CueRequest, CueSpeaker, CueSpeech
from valle.runtime.check import Check

NOBODY: Any = None  # nothing is spoken here


class ScriptedSpeaker(CueSpeaker):
    """Takes the length asked for, or its own; what it says of words is given."""

    def __init__(self, lengths: dict[str, float], wrong_first_takes: Sequence[str]) -> None:
        self.asked: list[CueRequest] = []
        self._lengths, self._wrong = lengths, wrong_first_takes

    def speak_all(self, requests: Sequence[CueRequest]) -> Iterator[tuple[int, CueSpeech]]:
        for index, request in enumerate(requests):
            self.asked.append(request)
            missing = ("word",) * (request.is_first_take and request.text in self._wrong)
            seconds = request.seconds or self._lengths[request.text]
            yield index, CueSpeech("", b"", seconds, -16.0, 0, seconds, 3, missing, (), 0.1, ())


def describe(request: CueRequest) -> tuple[str, str]:
    kind = "first" if request.is_first_take else "again"
    return request.text, kind if request.seconds is None else "timed"


def test_only_what_stays_is_spoken_again_for_its_words() -> None:
    lengths = {"fits": 1.0, "wrong": 1.0, "long": 2.2, "far": 1.0}
    speaker = ScriptedSpeaker(lengths, ["wrong", "long"])
    requests = [CueRequest(text, NOBODY, 0) for text in lengths]
    slots = [Slot(10.0 * i, 10.0 * i + 2.0, 10.0 * i + 2.0) for i in range(len(lengths))]
    paced = speak_in_time(speaker, requests, slots, 1.35, ignore_progress)
    asked = [describe(request) for request in speaker.asked]
    assert asked[:4] == [(text, "first") for text in lengths]
    assert ("wrong", "again") in asked
    assert ("long", "again") not in asked  # its words are those of the take for a length
    assert ("long", "timed") in asked
    assert not any(cue.speech.missing for cue in paced)
    assert len(asked) == 4 + 1 + 1


@pytest.mark.parametrize(
    ("takes", "spoken", "chosen"),
    [
        ([(0, 0.2)], 1, 0),  # as clear as usual
        ([(0, 0.3), (0, 0.25)], 2, 1),  # the better of two
        ([(0, 0.3), (1, 0.1)], 2, 0),  # wrong words count first
        ([(1, 0.1), (1, 0.1), (0, 0.4)], 3, 2),  # until no word is wrong
        ([(2, 0.1), (1, 0.3), (1, 0.2), (3, 0.0)], 4, 2),  # or there were enough
    ],
)
def test_speech_for_a_length_is_made_until_it_is_clear(
    takes: list[tuple[int, float]], spoken: int, chosen: int
) -> None:
    made: list[Any] = []

    class ScriptedModel:
        def speak(self, text: str, voice: object, **options: Any) -> Any:
            assert options["redo"] == [1, 2] * len(made)
            wrong, errors = takes[len(made)]
            check = Check(errors, ("word",) * wrong, (), "", 1.0, 10)
            sentences = [SimpleNamespace(number=number) for number in (1, 2)]
            made.append(SimpleNamespace(check=check, sentences=sentences))
            return made[-1]

    speaker = CueSpeaker.__new__(CueSpeaker)
    speaker._model = ScriptedModel()  # type: ignore[assignment]
    request = CueRequest("One. Two.", NOBODY, 0, 1.0, usual_errors=0.2)
    best = speaker._speak_timed(request, {"retries": 2, "redo": [], "duration": 1.0})
    assert len(made) == spoken
    assert best is made[chosen]


def test_what_cannot_be_faster_is_not_tried_again() -> None:
    class Slow(ScriptedSpeaker):
        def speak_all(self, requests: Sequence[CueRequest]) -> Iterator[tuple[int, CueSpeech]]:
            for index, request in enumerate(requests):
                self.asked.append(request)
                seconds = max(3.0, request.seconds or 4.0)
                yield index, CueSpeech("", b"", seconds, -16.0, 0, seconds, 3, (), (), 0.1, ())

    speaker = Slow({}, [])
    (cue,) = speak_in_time(
        speaker, [CueRequest("long", NOBODY, 0)], [Slot(0, 2, 2)], 1.35, ignore_progress
    )
    assert [describe(request)[1] for request in speaker.asked] == ["first", "timed"]
    assert cue.speech.seconds == 3.0
