"""The job `edit`: words of a recording replaced, removed or added in its own voice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from valle.editing.changes import (
    Change,
    compare_transcripts,
    delete_words,
    insert_words,
    replace_words,
)
from valle.editing.edit import edit_recording
from valle.editing.options import EditOptions
from valle.media.sound_files import read_sound_file
from valle.registry.keys import Caller
from valle.runtime.transcript import TimedTranscript
from valle.server.encoders import MEDIA_TYPES
from valle.server.job_files import (
    FileJobBody,
    Input,
    Made,
    Report,
    fetch_uploads,
    find_voice,
    job_folder,
    keep_result,
    refuse_paths,
    run_beside_listeners,
)
from valle.server.services import Services

if TYPE_CHECKING:
    from valle.server.work import JobContext

INPUTS = {
    "recording": Input((".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".webm", ".mp4")),
}
_MEDIA_TYPES = MEDIA_TYPES | {"ogg": "audio/ogg"}


class EditJob(FileJobBody):
    """The request: what the recording says, and one change of it."""

    format: Literal["wav", "flac", "mp3", "ogg"] = Field("wav", description="format of the result")
    text: str = Field(min_length=1, max_length=200_000, description="what the recording says")
    replace: tuple[str, str] | None = Field(None, description="words, and those in their place")
    delete: str | None = Field(None, min_length=1, description="words to remove")
    insert: tuple[str, str] | None = Field(
        None, description="words to add, and the words after which they are added"
    )
    transcript: str | None = Field(
        None, min_length=1, max_length=200_000, description="what is to be said instead of text"
    )
    occurrence: int | None = Field(
        None, ge=1, description="which place is meant where words occur several times, from 1"
    )

    @model_validator(mode="after")
    def _check_one_change(self) -> EditJob:
        changes = (self.replace, self.delete, self.insert, self.transcript)
        if sum(change is not None for change in changes) != 1:
            raise ValueError("give one of replace, delete, insert and transcript")
        return self

    def find_changes(self, transcript: TimedTranscript) -> list[Change]:
        """Return the changes of a recording. Raises what `valle.editing.changes` raises."""
        if self.transcript is not None:
            return compare_transcripts(transcript, self.transcript)
        if self.replace is not None:
            return [replace_words(transcript, *self.replace, self.occurrence)]
        if self.insert is not None:
            return [insert_words(transcript, *self.insert, self.occurrence)]
        return [delete_words(transcript, self.delete or "", self.occurrence)]


async def check_edit_job(services: Services, caller: Caller, body: EditJob) -> None:
    """Refuse what would fail; see `JobKind`."""
    refuse_paths(body.options, INPUTS)
    EditOptions.from_keywords(**body.options)
    await find_voice(services, caller, body.voice)


async def run_edit_job(context: JobContext, body: EditJob) -> dict[str, Any]:
    """Edit the recording, and store it."""
    recording = (await fetch_uploads(context, body))["recording"]
    options = EditOptions.from_keywords(**body.options)
    voice = await find_voice(context.services, context.caller, body.voice)
    output = job_folder(context.row) / f"result.{body.format}"

    def make(report: Report) -> dict[str, Any]:
        model = context.services.loader.get()
        report(0.0, "listening")
        samples = read_sound_file(recording, model.sample_rate, None)
        transcript = model.align(samples, body.text, options.lexicon)
        changes = body.find_changes(transcript)
        done, count = 0, max(1, len(changes) * options.best_of)

        def show() -> None:
            nonlocal done
            done += 1
            report(0.3 + 0.7 * done / count, "speaking the new words")

        edited = edit_recording(model, recording, transcript, changes, voice, options, show)
        edited.save(output)
        made = Made(output, _MEDIA_TYPES[body.format], edited.seconds, edited.describe())
        return keep_result(context, made)

    return await run_beside_listeners(context, make)
