"""Long texts for the page: a file's chapters, and the turns of a dialogue."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from valle.books.reader import ReadingChoices, read_book
from valle.errors import TextError
from valle.scripts.turns import read_turns
from valle.server.access import require
from valle.server.services import Services, get_services
from valle.server.uploads import as_file, call_it, read_upload

router = APIRouter(tags=["studio"])
# A name's ending decides how a text is read, and is one of these or none.
_ENDINGS = {".epub", ".md", ".markdown", ".txt", ".html", ".htm", ".xhtml"}
_SHOWN = 80  # characters of what is left out


class Dialogue(BaseModel):
    """A text that may be a dialogue."""

    text: str = Field(max_length=1_000_000)


@router.post("/v1/studio/texts", dependencies=[Depends(require("speak"))])
async def read_text(
    services: Annotated[Services, Depends(get_services)],
    file: Annotated[UploadFile, File(description="EPUB, Markdown, HTML or plain text")],
) -> dict[str, Any]:
    """Return the chapters of a text, and what of it would not be spoken."""
    data = await read_upload(file, services.options.max_upload)
    ending = PurePath(file.filename or "").suffix.lower()
    return await run_in_threadpool(_read, data, ending if ending in _ENDINGS else ".txt")


@router.post("/v1/studio/turns", dependencies=[Depends(require("speak"))])
def read_dialogue(body: Dialogue) -> dict[str, Any]:
    """Return who says what in a text; no turns if it is not a dialogue."""
    try:
        turns = read_turns(body.text)
    except TextError as error:
        return {"object": "studio.turns", "turns": [], "why": str(error)}
    found = [{"speaker": turn.speaker, "text": turn.text} for turn in turns]
    return {"object": "studio.turns", "turns": found, "why": None}


def _read(data: bytes, ending: str) -> dict[str, Any]:
    with as_file(data, ending) as path, call_it(path, "the file"):
        book = read_book(path, ReadingChoices())
        has_title = book.title != path.stem
    return {
        "object": "studio.text",
        "title": book.title if has_title else None,
        "author": book.author,
        "chapters": [{"title": one.title, "text": one.text} for one in book.chapters],
        "omissions": [
            {"text": one.text[:_SHOWN], "why": one.why, "where": one.where}
            for one in book.omissions
        ],
    }
