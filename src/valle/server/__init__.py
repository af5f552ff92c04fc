"""The server: speech over HTTP, for unchanged clients (extra `serve`).

`valle.server.app.create_app` builds the application from `ServeOptions`. A request passes through:

1. `edge`: an id for the request, limits of its size and time, checks of `Host` and `Origin`;
2. `access`: who calls (`Caller`), by API key, and whether the key has the scope of the route;
3. its protocol: a module or package here that knows one client's routes, fields and errors;
4. `speaking`: the voice found for this caller, its consent checked, the text and options;
5. `engine`: all running requests share the model's steps, the most urgent one first;
6. `encoders`: one encoder for each response.

**How a protocol plugs in.** A protocol is an `APIRouter` and the way its clients read errors. Add
it to `app.PROTOCOLS` as `Protocol(prefixes, router, render_error)`. Its routes take what they need
from dependencies:

```
@router.post("/v1/text-to-speech/{voice}")
async def speak(
    request: Request,
    voice: str,
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(require("speak"))],
) -> Response:
    order = SpeechOrder(text=..., voice=voice, options=SpeakOptions(...), format="mp3", rate=44100)
    speech = await start_speech(services, caller, order)     # refuses before any sound
    return SpeechResponse(speech, speech.chunks_as_bytes(), media_type="audio/mpeg")
```

`start_speech` returns once the first audio is there, so that what can be refused is refused with a
status of its own; it raises `valle.Error` or `ApiError`, which `render_error` formats. Iterating
over the result yields `Chunk`s: encoded bytes, and the `Speech` with the words whose times are
known by then. Closing or cancelling the iteration stops the work within a block of speech; no other
request is touched. A text that is still being written is a `TextFeed` (`speaking`): `feed` parts,
`flush` to have them spoken at once, then `close`; it has a thread of its own while it waits.

A WebSocket takes `get_services` too, and calls `authenticate(services, secret)` from `access`
itself, since its key may come in a message. A protocol other than HTTP uses
`Services.open(options)`, `LOCAL_CALLER` and `start_speech` without the application, as `wyoming`
does. Long work with files is a `JobKind` (`work`) that runs beside all that (`job_files`).
"""
