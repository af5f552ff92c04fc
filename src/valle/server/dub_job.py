"""The job `dub`: a film whose subtitles are spoken in its time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints

from valle.dubbing.dub import dub_film
from valle.dubbing.options import DubOptions
from valle.errors import TextError
from valle.media.subtitles import Subtitles, read_subtitles, write_srt
from valle.registry.keys import Caller
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
    "film": Input((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts")),
    "subtitles": Input((".srt", ".vtt", ".ass", ".ssa")),
    "background": Input((".wav", ".flac", ".mp3", ".ogg", ".m4a"), required=False),
}
PACKAGES = ("av", "pysubs2")
_MEDIA_TYPES = {"mp4": "video/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska"}
_SHARES = {
    "speaking cues": 0.55,
    "speaking cues again": 0.1,
    "speaking faster cues": 0.2,
    "correcting lengths": 0.05,
    "writing the film": 0.1,
}
"""Stages of a dub in their order, and their usual shares of its time; a film may lack some."""


class DubJob(FileJobBody):
    """The request."""

    format: Literal["mp4", "mov", "mkv"] = Field("mp4", description="format of the film")
    cast: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="voices of speakers, by their names"
    )
    texts: dict[str, Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = (
        Field(default_factory=dict, description="new texts of cues, by the report's `cue`")
    )

    def change_texts(self, subtitles: Subtitles) -> Subtitles:
        """Return subtitles with the new texts.

        Raises:
            TextError: There is no such cue.
        """
        unknown = self.texts.keys() - {cue.label for cue in subtitles.cues}
        if unknown:
            raise TextError(f"texts: there is no cue {', '.join(sorted(unknown))} in the subtitles")
        cues = [
            replace(cue, text=" ".join(text.split()), shown=text)
            if (text := self.texts.get(cue.label))
            else cue
            for cue in subtitles.cues
        ]
        return replace(subtitles, cues=cues)


async def check_dub_job(services: Services, caller: Caller, body: DubJob) -> None:
    """Refuse what would fail; see `JobKind`."""
    refuse_paths(body.options, INPUTS)
    DubOptions.from_keywords(**body.options)
    for name in (body.voice, *body.cast.values()):
        await find_voice(services, caller, name)


async def run_dub_job(context: JobContext, body: DubJob) -> dict[str, Any]:
    """Dub the film, and store it. Spoken cues are kept, so that another attempt goes on."""
    paths = await fetch_uploads(context, body)
    files = {"background": paths["background"]} if "background" in paths else {}
    options = DubOptions.from_keywords(**body.options, **files)
    voice = await find_voice(context.services, context.caller, body.voice)
    cast = {
        speaker: await find_voice(context.services, context.caller, name)
        for speaker, name in body.cast.items()
    }
    output = job_folder(context.row) / f"result.{body.format}"

    def make(report: Report) -> dict[str, Any]:
        def show(stage: str, done: int, total: int) -> None:
            report(_find_progress(stage, done / max(1, total)), f"{stage}: {done} of {total}")

        subtitles = body.change_texts(read_subtitles(paths["subtitles"], list(cast)))
        result = dub_film(
            context.services.loader.get(),
            paths["film"],
            subtitles,
            voice,
            output,
            cast,
            overwrite=True,
            progress=show,
            **options.model_dump(),
        )
        spoken = output.with_suffix(".srt")
        write_srt(spoken, result.to_cues())
        described = result.describe()
        del described["file"]  # whose folder is nobody's business
        made = Made(output, _MEDIA_TYPES[body.format], result.seconds, described, spoken)
        return keep_result(context, made)

    return await run_beside_listeners(context, make)


def _find_progress(stage: str, share: float) -> float:
    """Return how far a dub is, from 0 to 1, when a stage is done by a share."""
    before = 0.0
    for name, part in _SHARES.items():
        if name == stage:
            return before + part * share
        before += part
    return before
