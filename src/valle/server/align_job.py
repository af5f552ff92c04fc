"""The job `align`: which words a recording says, and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool

from valle.dubbing.caption_recognition import RATE, recognize_text
from valle.editing.spans import MIN_SCORE
from valle.editing.tidying import find_fillers
from valle.errors import RecordingError, UsageError
from valle.media.sound_files import read_sound_file
from valle.registry.keys import Caller
from valle.runtime.transcript import TimedTranscript
from valle.server.edit_job import INPUTS as EDIT_INPUTS
from valle.server.job_files import JobFiles, Report, fetch_uploads, run_beside_listeners
from valle.server.services import Services

if TYPE_CHECKING:
    from valle.server.work import JobContext

INPUTS = EDIT_INPUTS
_RECOGNITION = 0.8  # share of the work, where the words are not given


class AlignJob(JobFiles):
    """The request."""

    text: str | None = Field(
        None,
        min_length=1,
        max_length=200_000,
        description="what the recording says; without it, a server with --whisper recognizes it",
    )
    lexicon: dict[str, str] | None = Field(None, description="words, each with a respelling or IPA")


async def check_align_job(services: Services, _caller: Caller, body: AlignJob) -> None:
    """Refuse what would fail; see `JobKind`."""
    if body.text is None and services.options.whisper is None:
        raise UsageError(
            "this server does not recognize words: give the text that the recording says, or have "
            "the server started with --whisper FOLDER"
        )


async def run_align_job(context: JobContext, body: AlignJob) -> dict[str, Any]:
    """Find when each word is said, and store the list."""
    recording = (await fetch_uploads(context, body))["recording"]

    def make(report: Report) -> dict[str, Any]:
        return _align(context.services, body, recording, report)

    listed = await run_beside_listeners(context, make)
    key, data = f"results/{context.row.id}.json", json.dumps(listed).encode()
    await run_in_threadpool(context.services.registry.objects.put, key, data)
    return {
        "object": key,
        "media_type": "application/json",
        "bytes": len(data),
        "seconds": listed["seconds"],
    }


def _align(services: Services, body: AlignJob, recording: Path, report: Report) -> dict[str, Any]:
    model, text, begin = services.loader.get(), body.text, 0.0
    report(0.0, "listening")
    samples = read_sound_file(recording, model.sample_rate, None)
    if not samples.any():
        raise RecordingError("the recording is silent; give one in which somebody speaks")
    if text is None:
        folder, begin = Path(services.options.whisper or ""), _RECOGNITION
        assert model.sample_rate == RATE
        progress = _Heard(report, len(samples) / RATE, (0.0, begin), "recognizing words")
        text = recognize_text(folder, samples, services.options.threads, progress)
    progress = _Heard(report, len(samples) / model.sample_rate, (begin, 1.0), "finding words")
    return describe_words(model.align(samples, text, body.lexicon, progress))


class _Heard:
    """Reports seconds that were heard as a part of the work."""

    def __init__(
        self, report: Report, seconds: float, part: tuple[float, float], what: str
    ) -> None:
        self._report, self._seconds, self._part, self._what = report, seconds, part, what
        self._heard = 0.0

    def __call__(self, more: float) -> None:
        self._heard += more
        begin, end = self._part
        share = self._heard / max(self._seconds, self._heard)
        self._report(begin + (end - begin) * share, self._what)


def describe_words(transcript: TimedTranscript) -> dict[str, Any]:
    """Return a text, and its words with their times, as plain values that `json` can write.

    Only words that were heard can be changed; `is_filler` says what `remove_fillers` removes.
    """
    fillers = {change.first for change in find_fillers(transcript)}
    words = [
        word.describe()
        | {
            "is_heard": word.start is not None and word.score >= MIN_SCORE,
            "is_filler": index in fillers,
        }
        for index, word in enumerate(transcript.words)
    ]
    return {"text": transcript.text, "seconds": round(transcript.seconds, 3), "words": words}
