"""What programs without a package of their own send, as their code sends it, and our answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
av = pytest.importorskip("av")

from fastapi.testclient import TestClient

from valle.registry import keys

FOLDER = Path(__file__).parent / "conversations"
CONVERSATIONS = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_a_program_gets_what_it_reads(
    connect: Callable[..., TestClient], stored_voice: str, path: Path
) -> None:
    conversation = json.loads(path.read_text(encoding="utf-8"))
    client = connect(allow_attested=True, **conversation["options"])
    database = client.app.state.services.registry.database  # type: ignore[attr-defined]
    secret, _ = keys.create_key(database, path.stem, ("speak",))
    for exchange in conversation["exchanges"]:
        answer = send(client, exchange, secret)
        assert answer.status_code == exchange["status"], answer.text
        if "type" in exchange:
            assert answer.headers["content-type"] == exchange["type"]
            with av.open(io.BytesIO(answer.content)) as container:
                assert sum(frame.samples for frame in container.decode(audio=0)) > 2400
        else:
            read_answer(exchange["has"], answer.json())


def send(client: TestClient, exchange: dict[str, Any], secret: str) -> Any:
    headers = {name: value.replace("KEY", secret) for name, value in exchange["headers"].items()}
    body = json.dumps(exchange["body"]) if "body" in exchange else None
    return client.request(exchange["method"], exchange["path"], content=body, headers=headers)


def read_answer(has: str, answer: dict[str, Any]) -> None:
    """Read an answer as the program does, which takes no other form."""
    if has == "error":
        assert answer["error"]["message"]
    else:
        for item in answer[has]:
            assert item["id"]
            assert has == "models" or item["name"]
        assert answer[has]


def test_there_are_conversations() -> None:
    assert len(CONVERSATIONS) == 2
