"""The job `dub`: a film whose subtitles are spoken in its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valle.dubbing.dub import dub_film
from valle.dubbing.options import DubOptions
from valle.media.subtitles import read_subtitles, write_srt
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
_MEDIA_TYPES = {"mp4": "video/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska"}


class DubJob(FileJobBody):
    """The request."""

    format: Literal["mp4", "mov", "mkv"] = Field("mp4", description="format of the film")
    cast: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="voices of speakers, by their names"
    )


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
        stages: list[str] = []

        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages.append(stage)
            # How many stages there are is not known before: each takes half of what is left.
            rest = 0.5 ** len(stages)
            report(1 - 2 * rest + rest * done / max(1, total), f"{stage}: {done} of {total}")

        subtitles = read_subtitles(paths["subtitles"], list(cast))
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
