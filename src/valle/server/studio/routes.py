"""All routes of the studio, in the order in which they are looked up."""

from valle.server.studio import (
    abilities,
    enrolling,
    files,
    recordings,
    speech,
    subtitles,
    texts,
    voices,
)

ROUTERS = tuple(
    module.router
    for module in (files, abilities, voices, enrolling, recordings, speech, texts, subtitles)
)
