"""Jobs with files: books, dubs and edits, submitted as forms, followed, cancelled and fetched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="needs the extra [serve]")
av = pytest.importorskip("av", reason="needs the extra [media]")

from fastapi.testclient import TestClient

import valle
from conftest import ATTEST
from film_files import FilmSpec, hash_pictures, write_film_file
from valle.files import data_folder
from valle.media.subtitles import to_srt
from valle.registry import keys
from valle.registry.jobs import FINISHED
from valle.server.app import create_app
from valle.server.settings import ServeOptions
from valle.trust import ledger
from valle.trust.provenance import read_sidecar
from valle.voices import registry as voice_folder

SAMPLE = Path(__file__).parents[2] / "examples" / "voice.wav"
SAID = (
    "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    "Shall we walk down to the river?"
)
BOOK = "# One\n\nHello there. This is a book.\n\n# Two\n\nIt has two chapters.\n"
LONG = "# One\n\n" + "This sentence goes on and on. " * 300
Files = dict[str, tuple[str, bytes]]


def submit(client: TestClient, kind: str, request: object, files: Files, **headers: str) -> Any:
    parts: dict[str, Any] = {"request": (None, json.dumps(request)), **files}
    return client.post(f"/v1/jobs/{kind}", files=parts, headers=headers)


def wait(client: TestClient, job_id: str, until: tuple[str, ...] = FINISHED) -> dict[str, Any]:
    for _ in range(12_000):
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in until:
            return job
        time.sleep(0.05)
    raise TimeoutError(job)


def finish(client: TestClient, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    done = wait(client, answer.json()["id"])
    assert (done["state"], done["error"]) == ("succeeded", None)
    return done


def download(client: TestClient, job: dict[str, Any], folder: Path, ending: str) -> Path:
    """Fetch a result with its signed record beside it."""
    path = folder / f"result.{ending}"
    answer = client.get(job["result"]["url"])
    assert answer.headers["content-type"] == job["result"]["media_type"]
    path.write_bytes(answer.content)
    record = client.get(f"/v1/jobs/{job['id']}/record")
    Path(f"{path}.json").write_bytes(record.content)
    return path


def list_left(client: TestClient) -> list[str]:
    """What jobs have left behind that nobody needs."""
    for _ in range(100):  # it is removed a moment after the job has ended
        server = data_folder() / "server"
        left = [path for name in ("work", "objects/uploads") for path in server.glob(f"{name}/*")]
        if not left:
            return []
        time.sleep(0.05)
    return [str(path) for path in left]


def test_a_book_is_made(client: TestClient, tmp_path: Path) -> None:
    request = {"voice": "Babble", "format": "m4b", "options": {"title": "Small", "retries": 0}}
    files = {"book": ("../../etc/book.MD", BOOK.encode())}
    done = finish(client, submit(client, "book", request, files))
    path = download(client, done, tmp_path, "m4b")
    with av.open(str(path)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Two"]
    sidecar = read_sidecar(path)
    assert sidecar is not None
    assert sidecar.signed
    assert sidecar.fits
    report = client.get(f"/v1/jobs/{done['id']}/report").json()
    assert (report["title"], report["chapters"]) == ("Small", ["One", "Two"])
    assert report["sentences"] == 5  # the titles are spoken too
    assert client.get(f"/v1/jobs/{done['id']}/subtitles").status_code == 409
    assert list_left(client) == []


def test_a_dub_is_made(client: TestClient, tmp_path: Path) -> None:
    film = write_film_file(tmp_path / "film.mp4", FilmSpec(seconds=6.0, level=0.3))
    subtitles = to_srt([(0.5, 2.0, "Oh no."), (3.0, 5.0, "BOB: Go.")])
    request = {"voice": "Babble", "cast": {"Bob": "babble"}, "options": {"retries": 0}}
    request["texts"] = {"2": "Go now."}
    files = {"film": ("film.mp4", film.read_bytes()), "subtitles": ("a.srt", subtitles.encode())}
    done = finish(client, submit(client, "dub", request, files))
    path = download(client, done, tmp_path, "mp4")
    assert hash_pictures(path) == hash_pictures(film)
    spoken = client.get(f"/v1/jobs/{done['id']}/subtitles")
    assert spoken.headers["content-type"] == "application/x-subrip"
    assert "Oh no." in spoken.text
    assert "Go now." in spoken.text
    text = client.get(f"/v1/jobs/{done['id']}/events").text
    assert "succeeded" in text
    report = json.dumps(client.get(f"/v1/jobs/{done['id']}/report").json())
    assert str(data_folder()) not in report
    assert list_left(client) == []


def test_a_recording_is_edited(home: Path, tmp_path: Path) -> None:
    """By the default bundle: the tiny one understands no words."""
    model = valle.load(threads=1)
    voice_folder.add(model.enroll(SAMPLE, name="Sample", attest=ATTEST))
    request = {"voice": "Sample", "text": SAID, "options": {"best_of": 1}}
    with TestClient(create_app(ServeOptions.from_keywords(threads=1))) as client:
        files = {"recording": ("talk.wav", SAMPLE.read_bytes())}
        aligned = finish(client, submit(client, "align", {"text": SAID}, files))
        words = client.get(aligned["result"]["url"]).json()["words"]
        garden = [word["word"] for word in words].index("garden")
        assert words[garden]["is_heard"]
        assert 2.0 < words[garden]["start"] < words[garden]["end"] < 3.5
        change = {"first": garden - 1, "last": garden + 1, "text": "our kitchen"}
        done = finish(client, submit(client, "edit", request | {"changes": [change]}, files))
        path = download(client, done, tmp_path, "wav")
        report = client.get(f"/v1/jobs/{done['id']}/report").json()
        failures = []
        for wrong in (
            {"replace": ["no such words", "x"]},
            {"changes": [change | {"last": 99}]},
            {"options": {"remove_fillers": True}},
        ):
            job = submit(client, "edit", request | wrong, files).json()
            failures.append(wait(client, job["id"])["error"]["message"])
        assert list_left(client) == []
    (span,) = report["edits"]
    assert (span["removed"], span["added"]) == ("the garden", "our kitchen")
    before, rate = soundfile.read(SAMPLE, dtype="int16")
    after, _ = soundfile.read(path, dtype="int16")
    start = round(span["now"][0] * rate)
    assert np.array_equal(before[:start], after[:start])
    for failure, reason in zip(failures, ("no such words", "not there", "filler"), strict=True):
        assert reason in failure


def count_spoken() -> int:
    return sum(line["what"] == "speak" for line in ledger.read_lines())


def test_a_book_goes_on_after_its_server_is_gone(
    connect: Callable[..., TestClient], stored_voice: str
) -> None:
    request = {"voice": stored_voice, "format": "flac", "options": {"retries": 0}}
    text = " ".join(f"Sentence number {number} is here." for number in range(30))
    before = count_spoken()
    with connect() as first:
        job = submit(first, "book", request, {"book": ("a.md", text.encode())}).json()
        for _ in range(12_000):
            message = first.get(f"/v1/jobs/{job['id']}").json()["message"]
            if "of 30" in message and int(message.split()[0]) >= 10:
                break
            time.sleep(0.02)
    (folder,) = (data_folder() / "server" / "work").iterdir()
    assert (folder / "project").is_dir()
    second = connect()
    done = wait(second, job["id"])
    assert (done["state"], done["error"]) == ("succeeded", None)
    assert second.get(f"/v1/jobs/{job['id']}/report").json()["sentences"] == 30
    # Those that were being spoken when the first server ended are spoken twice, and no others.
    assert 30 <= count_spoken() - before < 40
    assert list_left(second) == []


def test_a_book_is_cancelled(client: TestClient) -> None:
    request = {"voice": "Babble", "options": {"retries": 0}}
    job = submit(client, "book", request, {"book": ("a.md", LONG.encode())}).json()
    wait(client, job["id"], ("running",))
    client.delete(f"/v1/jobs/{job['id']}")
    assert wait(client, job["id"])["state"] == "cancelled"
    assert list_left(client) == []


def test_the_same_idempotency_key_is_the_same_job(client: TestClient) -> None:
    request = {"voice": "Babble", "format": "flac", "options": {"retries": 0}}
    files = {"book": ("a.txt", b"Hello.")}
    once = {"Idempotency-Key": "once"}
    first = submit(client, "book", request, files, **once).json()
    assert submit(client, "book", request, files, **once).json()["id"] == first["id"]
    other = submit(client, "book", request, {"book": ("a.txt", b"Bye.")}, **once)
    assert other.status_code == 400
    assert wait(client, first["id"])["state"] == "succeeded"
    assert list_left(client) == []


@pytest.mark.parametrize(
    ("kind", "request_", "files", "status", "reason"),
    [
        ("book", {"voice": "Nobody"}, {"book": ("a.txt", b"x")}, 404, "no voice"),
        ("book", {}, {"book": ("a.txt", b"x")}, 400, "voice"),
        ("book", {"voice": "Babble"}, {}, 400, "'book' is missing"),
        ("book", {"voice": "Babble"}, {"book": ("a.exe", b"x")}, 400, ".epub"),
        ("book", {"voice": "Babble"}, {"book": ("a.txt", b"")}, 400, "empty"),
        ("book", {"voice": "Babble"}, {"film": ("a.mp4", b"x")}, 400, "no file 'film'"),
        (
            "book",
            {"voice": "Babble", "options": {"lexicon": "/etc/passwd"}},
            {"book": ("a.txt", b"x")},
            400,
            "upload it",
        ),
        (
            "book",
            {"voice": "Babble", "options": {"fly": 1}},
            {"book": ("a.txt", b"x")},
            400,
            "fly",
        ),
        ("book", [1], {"book": ("a.txt", b"x")}, 400, "JSON object"),
        ("book", {"voice": "Babble", "files": {}}, {"book": ("a.txt", b"x")}, 400, "JSON object"),
        ("book", {"voice": "Babble"}, {"book": ("a.txt", b"x" * (1 << 20) + b"x")}, 413, "larger"),
        ("dub", {"voice": "Babble"}, {"film": ("a.mp4", b"x")}, 400, "'subtitles' is missing"),
        (
            "dub",
            {"voice": "Babble", "options": {"background": "/etc/passwd"}},
            {"film": ("a.mp4", b"x"), "subtitles": ("a.srt", b"x")},
            400,
            "upload it",
        ),
        ("dub", {"voice": "Babble", "cast": {"A": "No"}}, {"film": ("a.mp4", b"x")}, 404, "voice"),
        ("edit", {"voice": "Babble", "text": "x"}, {"recording": ("a.wav", b"x")}, 400, "give one"),
        (
            "edit",
            {"voice": "Babble", "text": "x", "changes": [{"first": 1, "last": 1}]},
            {"recording": ("a.wav", b"x")},
            400,
            "at least one word",
        ),
        ("align", {}, {"recording": ("a.wav", b"x")}, 400, "does not recognize words"),
        ("speech", {}, {"book": ("a.txt", b"x")}, 400, "POST /v1/jobs"),
        ("fly", {}, {"book": ("a.txt", b"x")}, 400, "there is no kind"),
    ],
)
def test_what_would_fail_is_refused_at_once(
    connect: Callable[..., TestClient],
    stored_voice: str,
    kind: str,
    request_: Any,
    files: Files,
    status: int,
    reason: str,
) -> None:
    client = connect(max_job_upload=1)
    answer = submit(client, kind, request_, files)
    assert (answer.status_code, reason in answer.json()["error"]["message"]) == (status, True), (
        answer.text
    )
    assert client.get("/v1/jobs").json()["data"] == []
    assert list_left(client) == []


def test_a_kind_with_files_is_no_json(client: TestClient) -> None:
    bodies: tuple[dict[str, Any], ...] = (
        {"data": {"request": "{}"}},
        {"json": {}},
        {"content": b""},
    )
    for body in bodies:
        assert client.post("/v1/jobs/book", **body).status_code == 415
    answer = client.post("/v1/jobs", json={"kind": "book", "request": {"voice": "Babble"}})
    assert answer.status_code == 400
    assert "POST /v1/jobs/book" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "request_", "files", "reason"),
    [
        ("book", {}, {"book": ("a.epub", b"PK\x03\x04 not a zip")}, "book.epub"),
        ("book", {}, {"book": ("a.txt", b"[voice:Nobody] Hello.")}, "Nobody"),
        ("dub", {}, {"film": ("a.mp4", b"x"), "subtitles": ("a.srt", b"x")}, ""),
        (
            "dub",
            {"texts": {"7": "Hi."}},
            {"film": ("a.mp4", b"x"), "subtitles": ("a.srt", to_srt([(0, 1, "Hi.")]).encode())},
            "there is no cue 7",
        ),
        ("edit", {"text": "Hi.", "delete": "Hi"}, {"recording": ("a.wav", b"RIFF")}, ""),
    ],
)
def test_what_cannot_be_read_fails_with_the_reason(
    client: TestClient, kind: str, request_: dict[str, Any], files: Files, reason: str
) -> None:
    job = submit(client, kind, {"voice": "Babble"} | request_, files).json()
    done = wait(client, job["id"])
    assert done["state"] == "failed"
    message = done["error"]["message"]
    assert reason in message
    assert "internal" not in message
    assert str(data_folder()) not in message
    assert list_left(client) == []


def test_nothing_is_stored_for_whom_nobody_knows(
    connect: Callable[..., TestClient], stored_voice: str
) -> None:
    """And a key reaches only its own jobs."""
    client = connect(allow_attested=True)
    database = client.app.state.services.registry.database  # type: ignore[attr-defined]
    secrets = [keys.create_key(database, name, ("speak", "jobs"))[0] for name in ("a", "b")]
    files = {"book": ("a.txt", b"Hello.")}
    request = {"voice": stored_voice, "format": "flac"}
    assert submit(client, "book", request, files).status_code == 401
    first, second = ({"Authorization": f"Bearer {secret}"} for secret in secrets)
    job = submit(client, "book", request, files, **first).json()
    for part in ("", "/result", "/report", "/record", "/events"):
        assert client.get(f"/v1/jobs/{job['id']}{part}", headers=second).status_code == 404
    assert client.get(f"/v1/jobs/{job['id']}/request", headers=first).status_code == 400
