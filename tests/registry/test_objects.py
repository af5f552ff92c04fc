"""Objects in a folder and in S3 (moto's server): whole or absent, and never outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="needs the extra [serve]")

from valle.errors import OutputError, UsageError
from valle.registry.objects import ObjectStore


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket in a server that speaks S3."""
    pytest.importorskip("s3fs", reason="needs the extra [s3]")
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        s3fs.S3FileSystem(use_listings_cache=False).mkdir("valle-test")
        yield "s3://valle-test/some/prefix"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return ObjectStore(str(tmp_path / "objects"))
    return ObjectStore(request.getfixturevalue("bucket"))


def test_objects_come_back_and_go(objects: ObjectStore) -> None:
    data = bytes(range(256)) * 4000
    objects.put("results/job_1.mp3", data)
    assert objects.get("results/job_1.mp3") == data
    assert b"".join(objects.stream("results/job_1.mp3")) == data
    assert objects.size("results/job_1.mp3") == len(data)
    objects.put("results/job_1.mp3", b"new")
    assert objects.get("results/job_1.mp3") == b"new"
    objects.delete("results/job_1.mp3")
    objects.delete("results/job_1.mp3")
    with pytest.raises(OutputError, match="read"):
        objects.get("results/job_1.mp3")


def test_objects_are_listed_with_when_they_were_written(objects: ObjectStore) -> None:
    assert objects.list("lists") == {}
    before = time.time()
    for key in ("lists/job_1.m4b", "lists/job_1-report.json", "lists/job_2.m4b"):
        objects.put(key, b"x")
    listed = objects.list("lists", "job_1")
    assert sorted(listed) == ["lists/job_1-report.json", "lists/job_1.m4b"]
    assert all(before - 2 < written < time.time() + 2 for written in listed.values())
    assert len(objects.list("lists")) == 3


def test_only_old_parts_are_deleted(tmp_path: Path) -> None:
    objects = ObjectStore(str(tmp_path / "objects [1]"))
    objects.put("voices/a.bin", b"whole")
    part = tmp_path / "objects [1]" / "voices" / "b.bin.0123.part"
    part.write_bytes(b"par")
    objects.delete_parts(time.time() - 60)
    assert part.exists()
    objects.delete_parts(time.time() + 60)
    assert not part.exists()
    assert objects.get("voices/a.bin") == b"whole"


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../b", "voices/a/b", "", "a\0/b", "A/x"])
def test_keys_are_ours_alone(objects: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="is not the key"):
        objects.put(key, b"x")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = ObjectStore(str(tmp_path / "objects"))
    objects.put("voices/a.bin", b"before")

    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects._files, "pipe_file", fill_disk)
    with pytest.raises(OutputError, match="No space left"):
        objects.put("voices/a.bin", b"after")
    assert objects.get("voices/a.bin") == b"before"


def test_unknown_stores_are_refused() -> None:
    with pytest.raises(UsageError, match="--objects nowhere"):
        ObjectStore("nowhere://bucket")
