"""The job `edit`: words of a recording replaced, removed or added in its own voice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from valle.editing.changes import (
    Change,
    compare_transcripts,
    delete_words,
    insert_words,
    replace_words,
)
from valle.editing.edit import edit_recording
from valle.editing.options import EditOptions
from valle.errors import TextError
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


class WordChange(BaseModel):
    """Words `first` up to `last`, which is not included, become `text`; they count from 0."""

    model_config = ConfigDict(extra="forbid")

    first: int = Field(ge=0)
    last: int = Field(ge=0)
    text: str = Field("", max_length=2000, description='"" deletes the words')

    @model_validator(mode="after")
    def _check_range(self) -> WordChange:
        if self.last < self.first or (self.last == self.first and not self.text.strip()):
            raise ValueError(
                "a change is about at least one word: last is not below first, and an "
                "insertion (last is first) has a text"
            )
        return self


class EditJob(FileJobBody):
    """The request: what the recording says, and what changes."""

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
    changes: list[WordChange] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="several changes, by the numbers of the words that a job `align` lists",
    )
    occurrence: int | None = Field(
        None, ge=1, description="which place is meant where words occur several times, from 1"
    )

    @model_validator(mode="after")
    def _check_one_change(self) -> EditJob:
        changes = (self.replace, self.delete, self.insert, self.transcript, self.changes)
        given = sum(change is not None for change in changes)
        options = self.options
        is_tidied = options.get("remove_fillers") or options.get("shorten_pauses") is not None
        if given > 1 or not (given or is_tidied):
            raise ValueError(
                "give one of replace, delete, insert, transcript and changes, or the options "
                "remove_fillers or shorten_pauses"
            )
        return self

    def find_changes(self, transcript: TimedTranscript) -> list[Change]:
        """Return the changes of a recording; none where only options ask for some.

        Raises:
            TextError: As in `valle.editing.changes`, or a word's number is not in the text.
        """
        if self.changes is not None:
            count = len(transcript.words)
            if any(change.last > count for change in self.changes):
                raise TextError(f"a change is about a word that is not there: the text has {count}")
            return [Change(one.first, one.last, one.text.strip()) for one in self.changes]
        if self.transcript is not None:
            return compare_transcripts(transcript, self.transcript)
        if self.replace is not None:
            return [replace_words(transcript, *self.replace, self.occurrence)]
        if self.insert is not None:
            return [insert_words(transcript, *self.insert, self.occurrence)]
        if self.delete is not None:
            return [delete_words(transcript, self.delete, self.occurrence)]
        return []


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
        seconds, heard = len(samples) / model.sample_rate, 0.0

        def listen(more: float) -> None:
            nonlocal heard
            heard += more
            report(0.3 * heard / max(seconds, heard), "listening")

        transcript = model.align(samples, body.text, options.lexicon, listen)
        changes = body.find_changes(transcript)
        done, count = 0, max(1, len(changes) * options.best_of)

        def show() -> None:
            nonlocal done
            done += 1
            report(0.3 + 0.7 * done / count, "speaking the new words")

        report(0.3, "making the changes")
        edited = edit_recording(model, recording, transcript, changes, voice, options, show)
        edited.save(output)
        made = Made(output, _MEDIA_TYPES[body.format], edited.seconds, edited.describe())
        return keep_result(context, made)

    return await run_beside_listeners(context, make)
