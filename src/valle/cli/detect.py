"""The commands `valle detect` and `valle verify`."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from valle.audio.recording import load_recording
from valle.bundle.bundle import Bundle
from valle.detection.detector import KINDS, judge
from valle.detection.plot import save_picture
from valle.detection.report import (
    detector_facts,
    own_watermark_key,
    provenance_facts,
    read_owner_key,
    watermark_facts,
)
from valle.errors import ProvenanceError, RecordingError, UsageError
from valle.files import check_target
from valle.watermark.detect import detect as detect_mark

_LEAST_CHANCE = 1e-99  # smaller ones are said to be less than this: no figure is better than it
_LEAST_SECONDS = 0.5  # of sound: in less, a mark is seldom found
_MOST_SECONDS = 30  # shown; --json has all
_LONGEST = 80  # characters shown of what a file says of itself


def detect_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `valle detect`."""
    parser.add_argument("recording", metavar="FILE", help="any recording")
    parser.add_argument("--bundle", help="whose detector is asked (default: the package's)")
    parser.add_argument(
        "--owner-key", metavar="FILE", help="of another who marked it; yours is tried without"
    )
    parser.add_argument(
        "--picture", metavar="FILE.png", help="draw where it is marked, or heard as made"
    )
    parser.add_argument("--json", action="store_true", help="print all that was found as JSON")


def detect(arguments: argparse.Namespace) -> None:
    """Look for the watermark, hear whether it is made, and read what lies beside and inside it."""
    if arguments.picture is not None:
        check_target(arguments.picture)
    own = own_watermark_key()
    key = own if arguments.owner_key is None else read_owner_key(arguments.owner_key)
    recording = load_recording(arguments.recording, least=_LEAST_SECONDS)
    found = detect_mark(recording.samples, recording.sample_rate, key)
    verdict = judge(Bundle.load(arguments.bundle), recording.samples, recording.sample_rate)
    # Other owners' receipts are in other ledgers.
    facts = {
        "file": arguments.recording,
        "seconds": round(recording.seconds, 3),
        "watermark": watermark_facts(found, in_ledger=key == own),
        "detector": detector_facts(verdict),
        "provenance": provenance_facts(arguments.recording),
    }
    if arguments.picture is not None:
        spans = [(span.start, span.end) for span in found.spans]
        made = None if verdict is None else verdict.seconds[:, KINDS.index("made")]
        save_picture(arguments.picture, recording.samples, recording.sample_rate, spans, made)
    if arguments.json:
        print(json.dumps(facts))
        return
    print(f"watermark:  {_watermark_line(facts['watermark'])}")
    print("\n".join(_detector_lines(facts["detector"])))
    print("\n".join(_provenance_lines(facts["provenance"])))


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `valle verify`."""
    parser.add_argument("recording", metavar="FILE", help="an audio file, as it was saved")
    parser.add_argument("--key", metavar="HEX", help="the public key that must have signed it")
    parser.add_argument("--json", action="store_true", help="print all that was found as JSON")


def verify(arguments: argparse.Namespace) -> None:
    """Check the signed record beside a file, and the manifest inside it.

    Raises ProvenanceError unless there is a valid signature and nothing contradicts the file.
    """
    name = arguments.recording
    if arguments.key is not None and not re.fullmatch(r"[0-9a-f]{64}", arguments.key):
        raise UsageError("--key is a public key, 64 hexadecimal digits in lower case")
    if not Path(name).is_file():
        raise RecordingError(f"there is no file {name}")
    facts = provenance_facts(name)
    if arguments.json:
        print(json.dumps({"file": name} | facts))
    else:
        print("\n".join(_provenance_lines(facts)))
    if facts["verified"] is None:
        raise ProvenanceError(f"nothing signed says where {name} came from")
    if not facts["verified"]:
        raise ProvenanceError(f"{name} is not what was signed, or its record is not; see above")
    if arguments.key not in (None, facts["sidecar"].get("key")):
        raise ProvenanceError(f"{name} was not signed by the key {arguments.key[:16]}...")


def _watermark_line(facts: dict[str, Any]) -> str:
    if not facts["found"]:
        return "not found"
    spans = ", ".join(f"{span['start']:.2f} to {span['end']:.2f} s" for span in facts["spans"])
    warped = facts["speed"] != 1 or facts["pitch"] != 1
    warp = f"at speed {facts['speed']:.3f} and pitch {facts['pitch']:.3f}; " if warped else ""
    chance = f"chance of a false alarm {max(facts['chance'], _LEAST_CHANCE):.0e} at most"
    return f"made by valle, {spans}; {warp}{chance}; {_payload_line(facts['payload'])}"


def _payload_line(payload: dict[str, Any] | None) -> str:
    if payload is None:
        return "payload not read: it is another owner's (--owner-key), or too weak"
    says = f"payload {payload['bits']}, receipt {payload['receipt']}"
    for entry in payload["ledger"]:
        voice = f" of voice {_shown(entry['voice'])}" if entry["voice"] else ""
        says += f"; in the ledger: {_shown(entry['receipt'][:16])}...{voice}"
        says += f", {entry['spoken']} texts spoken" + (
            f", the last {_shown(entry['last'])}" if entry["last"] else ""
        )
    return says


def _detector_lines(facts: dict[str, Any]) -> list[str]:
    if not facts["checked"]:
        return [f"detector:   not checked: {facts['why']}"]
    whole = ", ".join(f"{kind} {one:.0%}" for kind, one in facts["probability"].items())
    seconds = " ".join(f"{100 * second['made']:.0f}" for second in facts["seconds"][:_MOST_SECONDS])
    more = " ..." if len(facts["seconds"]) > _MOST_SECONDS else ""
    return [
        f"detector:   sounds {facts['kind']}: {whole}",
        f"            made, % a second: {seconds}{more}",
        f"            it cannot know: {facts['cannot_know']}",
    ]


def _provenance_lines(facts: dict[str, Any]) -> list[str]:
    sidecar, inside = facts["sidecar"], facts["c2pa"]
    if not sidecar["found"]:
        beside = "nothing lies beside the file"
    elif "why" in sidecar:
        beside = _shown(sidecar["why"])
    else:
        record = sidecar["record"]
        fits = "fits the file" if sidecar["fits"] else "is for another file, or an altered one"
        if sidecar["key"]:
            signed = f"signed by {sidecar['key']}"
        else:
            signed = "its signature is wrong" if sidecar["signed"] else "not signed"
        beside = f"{fits}; {signed}; {_shown(record['made_by'])}, model {_shown(record['model'])}"
        if isinstance(record.get("voice"), str) and record["voice"]:
            beside += f", voice {_shown(record['voice'])}"
    if not inside["checked"]:
        within = f"not checked: {inside['why']}"
    elif not inside["found"]:
        within = "none"
    elif inside["valid"]:
        within = f"valid; its signer, whom nobody vouches for: {_shown(inside['signer'])}"
    else:
        within = "not valid: " + ", ".join(_shown(problem) for problem in inside["problems"][:5])
    return [f"provenance: {beside}", f"C2PA:       {within}"]


def _shown(text: object) -> str:
    """What a file says of itself, fit for a terminal."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text))
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "..."
