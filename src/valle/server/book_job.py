"""The job `book`: an audiobook from an EPUB, a page or a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from valle.books.export import BookWriter
from valle.books.options import BookOptions
from valle.books.outputs import Outputs
from valle.books.preparation import lock_project, prepare_project
from valle.books.project import Project
from valle.books.report import report_book, sort_worst_first
from valle.books.speaking import BookSpeaker, keep_voice
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
    "book": Input((".epub", ".html", ".htm", ".xhtml", ".md", ".markdown", ".txt")),
    "cover": Input((".jpg", ".jpeg", ".png"), required=False),
    "lexicon": Input((".csv", ".tsv", ".txt", ".pls", ".xml"), required=False),
}
_MEDIA_TYPES = {
    "m4b": "audio/mp4",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "epub": "application/epub+zip",
}
_SPOKEN_SHARE = 0.9  # of the progress; the rest is writing
_WORST = 50  # sentences in the report


class BookJob(FileJobBody):
    """The request."""

    format: Literal["m4b", "mp3", "opus", "flac", "epub"] = Field(
        "m4b", description="format of the book; epub is read along"
    )


async def check_book_job(services: Services, caller: Caller, body: BookJob) -> None:
    """Refuse what would fail; see `JobKind`."""
    refuse_paths(body.options, INPUTS)
    BookOptions.from_keywords(**body.options)
    await find_voice(services, caller, body.voice)


async def run_book_job(context: JobContext, body: BookJob) -> dict[str, Any]:
    """Speak the book, and store it. What was spoken before the server ended is not spoken again."""
    paths = await fetch_uploads(context, body)
    files = {name: paths[name] for name in ("cover", "lexicon") if name in paths}
    options = BookOptions.from_keywords(**body.options, **files)
    narrator = await find_voice(context.services, context.caller, body.voice)
    folder = job_folder(context.row) / "project"

    def prepare(report: Report) -> Project:
        report(0.0, "reading the book")
        with lock_project(folder):
            return prepare_project(paths["book"], folder, options)

    project = await run_beside_listeners(context, prepare)
    # The text names voices too; each must be one that this caller may use.
    named = sorted({sentence.voice for sentence in project.sentences if sentence.voice})
    voices = {name: await find_voice(context.services, context.caller, name) for name in named}
    output = folder.with_name(f"result.{body.format}")

    def make(report: Report) -> Made:
        with lock_project(folder):
            project.narrator = keep_voice(project, narrator, f"narrator {narrator.name}")
            for name, voice in voices.items():
                keep_voice(project, voice, name)
            project.save()
            return _speak_and_write(context, project, output, report)

    made = await run_beside_listeners(context, make)
    return await run_beside_listeners(context, lambda _report: keep_result(context, made))


def _speak_and_write(context: JobContext, project: Project, output: Path, report: Report) -> Made:
    speaker = BookSpeaker(context.services.loader.get(), project)
    states = speaker.list_states()
    done, count = sum(state.done for state in states), max(1, len(states))
    for _ in speaker.speak_all():
        done += 1
        report(_SPOKEN_SHARE * done / count, f"{done} of {count} sentences spoken")

    def report_section(section: int, sections: int) -> None:
        share = section / max(1, sections)
        report(_SPOKEN_SHARE + (1 - _SPOKEN_SHARE) * share, "writing the book")

    written = BookWriter(speaker, report_section).write(Outputs([output]), overwrite=True)
    media_type = _MEDIA_TYPES[output.suffix[1:]]
    return Made(output, media_type, written.seconds, _describe(project, speaker))


def _describe(project: Project, speaker: BookSpeaker) -> dict[str, Any]:
    worst = sort_worst_first(report_book(speaker))[:_WORST]
    return {
        "title": project.title,
        "author": project.author,
        "chapters": project.chapters,
        "sentences": len(project.sentences),
        "worst": [report.describe() for report in worst],
        "left_out": [
            {"text": omission.text, "where": omission.where, "why": omission.why}
            for omission in project.plan.omissions
        ],
    }
