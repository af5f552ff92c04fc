"""`valle detect` and `valle verify`: whether a recording is synthetic, and who signed it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from valle.audio.recording import load_recording
from valle.bundle.bundle import Bundle
from valle.cli.arguments import add_bundle, add_json, nonempty
from valle.cli.console import print_json
from valle.cli.printable import make_printable
from valle.detection.detector import BONA_FIDE, KINDS, SYNTHETIC, classify
from valle.detection.plot import save_detection_plot
from valle.detection.report import (
    MIN_SECONDS,
    describe_provenance,
    describe_verdict,
    describe_watermark,
    load_watermark_key,
    read_owner_key,
)
from valle.errors import ProvenanceError, RecordingError
from valle.files import check_target
from valle.watermark.detect import detect_watermark

_MIN_PROBABILITY = 1e-99  # shown; below it the estimate means nothing
_MAX_SECONDS_SHOWN = 30  # --json has all
_MAX_TEXT_SHOWN = 80  # characters of a text that comes from the file itself
_PROBLEMS_SHOWN = 5
_RECEIPT_SHOWN = 16  # hexadecimal digits
# Whether speech like this was made under the receipt that the watermark names.
_MADE = {
    True: "under which speech like this was made here",
    False: "but speech like this was NOT made under it here: the mark may have been laid on it",
    None: "but nothing here tells whether this was made under it: a mark can be laid on anything",
}
_KEY = re.compile(r"[0-9a-f]{64}")  # Ed25519


def detect_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle detect`."""
    parser.add_argument(
        "recording",
        type=nonempty,
        metavar="FILE",
        help="recording with at least half a second of sound",
    )
    parser.add_argument(
        "--owner-key",
        type=nonempty,
        metavar="FILE",
        help="watermark key of another user, written by `valle consent key --owner-key` "
        "(default: your own)",
    )
    parser.add_argument(
        "--picture",
        type=nonempty,
        metavar="FILE.png",
        help="plot the watermarked spans and the probability of synthetic speech",
    )
    add_bundle(parser, "the model whose detector is used (default: the built-in one)")
    add_json(parser)


def detect(arguments: argparse.Namespace) -> None:
    """Search for the watermark, run the detector, and read the file's provenance.

    Raises:
        UsageError: the key cannot be read.
        RecordingError: the recording cannot be used.
        OutputError: the picture cannot be written.
    """
    if arguments.picture is not None:
        check_target(arguments.picture)
    own_key = load_watermark_key()
    key = own_key if arguments.owner_key is None else read_owner_key(arguments.owner_key)
    recording = load_recording(arguments.recording, min_seconds=MIN_SECONDS)
    detection = detect_watermark(recording.samples, recording.sample_rate, key)
    verdict = classify(Bundle.load(arguments.bundle), recording.samples, recording.sample_rate)
    # Receipts of other owners are in their ledgers, not in this one.
    result = {
        "file": arguments.recording,
        "seconds": round(recording.seconds, 3),
        "watermark": describe_watermark(detection, key == own_key, recording),
        "detector": describe_verdict(verdict),
        "provenance": describe_provenance(arguments.recording),
    }
    if arguments.picture is not None:
        spans = [(span.start, span.end) for span in detection.spans]
        synthetic = None if verdict is None else verdict.seconds[:, KINDS.index(SYNTHETIC)]
        save_detection_plot(
            arguments.picture, recording.samples, recording.sample_rate, spans, synthetic
        )
    if arguments.json:
        print_json(result)
        return
    print(f"result:     {_conclude(result)}")
    print(f"watermark:  {_watermark_line(result['watermark'])}")
    print("\n".join(_detector_lines(result["detector"])))
    print("\n".join(_provenance_lines(result["provenance"])))


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle verify`."""
    parser.add_argument(
        "recording",
        type=nonempty,
        metavar="FILE",
        help="audio file, with its signed record FILE.json beside it",
    )
    parser.add_argument(
        "--key",
        type=_public_key,
        metavar="HEX",
        help="fail unless this public key signed the record",
    )
    add_json(parser)


def verify(arguments: argparse.Namespace) -> None:
    """Check the signed record beside a file, and the C2PA manifest inside it.

    Raises:
        RecordingError: there is no such file.
        ProvenanceError: nothing is signed, or something contradicts the signed record.
    """
    name = arguments.recording
    if not Path(name).is_file():
        raise RecordingError(f"there is no file {name}")
    result = describe_provenance(name)
    if arguments.json:
        print_json({"file": name} | result)
    else:
        print("\n".join(_provenance_lines(result)))
    if result["verified"] is None:
        raise ProvenanceError(f"{name} has no signed record of where it came from")
    if not result["verified"]:
        raise ProvenanceError(f"{name} or its record was altered after signing; see above")
    if arguments.key not in (None, result["sidecar"].get("key")):
        raise ProvenanceError(
            f"{name} was not signed by the key {arguments.key[:_RECEIPT_SHOWN]}..."
        )


def _public_key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise argparse.ArgumentTypeError("must be a public key, 64 hexadecimal digits (0-9, a-f)")
    return value


def _conclude(result: dict[str, Any]) -> str:
    """Say in a sentence what watermark and detector come to."""
    if result["watermark"]["found"]:
        payload = result["watermark"]["payload"]
        receipts = payload["ledger"] if payload else []
        if any(entry["made"] is False for entry in receipts):
            return (
                "it has the watermark of this computer's user, but was not made here: somebody may "
                "have laid it on the recording, so do not accuse anybody by it"
            )
        return "synthetic speech made by valle: it has the watermark"
    detector = result["detector"]
    if not detector["checked"]:
        return "no watermark of valle; nothing else could be checked"
    if not detector["sure"]:
        return f"unsure: no watermark of valle, and {'; '.join(detector['doubts'])}"
    if detector["kind"] == BONA_FIDE:
        return "no trace of synthesis was found, which does not prove that a person spoke"
    return (
        f"no watermark of valle, but it sounds {detector['kind']}; the detector can err, so do not "
        "accuse anybody by this alone"
    )


def _format_share(share: float) -> str:
    """Format a probability; an estimate is never 0 or 100 %."""
    return "<1%" if share < 0.01 else ">99%" if share > 0.99 else f"{share:.0%}"


def _watermark_line(result: dict[str, Any]) -> str:
    if not result["found"]:
        return "not found"
    spans = ", ".join(f"{span['start']:.2f} to {span['end']:.2f} s" for span in result["spans"])
    warped = result["speed"] != 1 or result["pitch"] != 1
    warp = f"at speed {result['speed']:.3f} and pitch {result['pitch']:.3f}; " if warped else ""
    bound = max(result["false_positive_bound"], _MIN_PROBABILITY)
    probability = f"false-positive probability at most {bound:.0e}"
    if result["by_owner"]:
        warp += "the published half was removed, and your key found the rest; "
    return f"made by valle, {spans}; {warp}{probability}; {_payload_line(result['payload'])}"


def _payload_line(payload: dict[str, Any] | None) -> str:
    if payload is None:
        return "payload not readable: another user's key is needed (--owner-key), or it is too weak"
    text = f"payload {payload['bits']}, receipt {payload['receipt']}"
    for entry in payload["ledger"]:
        voice = f" of voice {_printable(entry['voice'])}" if entry["voice"] else ""
        text += f"; in the ledger: {_printable(entry['receipt'][:_RECEIPT_SHOWN])}...{voice}"
        text += f", {_MADE[entry['made']]}"
        count = entry["spoken"]
        text += f", {count} {'text' if count == 1 else 'texts'} spoken" + (
            f", the last {_printable(entry['last'])}" if entry["last"] else ""
        )
    return text


def _detector_lines(result: dict[str, Any]) -> list[str]:
    if not result["checked"]:
        return [f"detector:   not checked: {result['why']}"]
    whole = ", ".join(
        f"{kind} {_format_share(share)}" for kind, share in result["probability"].items()
    )
    seconds = " ".join(
        f"{100 * second[SYNTHETIC]:.0f}" for second in result["seconds"][:_MAX_SECONDS_SHOWN]
    )
    more = " ..." if len(result["seconds"]) > _MAX_SECONDS_SHOWN else ""
    return [
        f"detector:   sounds {result['kind']}{'' if result['sure'] else ', unsure'}: {whole}",
        f"            synthetic, % per second: {seconds}{more}",
        f"            it cannot know: {result['cannot_know']}",
    ]


def _provenance_lines(result: dict[str, Any]) -> list[str]:
    sidecar, c2pa = result["sidecar"], result["c2pa"]
    if not sidecar["found"]:
        beside = "no record beside the file"
    elif "why" in sidecar:
        beside = _printable(sidecar["why"])
    else:
        record = sidecar["record"]
        fits = "matches the file" if sidecar["fits"] else "does not match the file"
        if sidecar["key"]:
            signed = f"signed by {sidecar['key']}"
        else:
            signed = "invalid signature" if sidecar["signed"] else "not signed"
        beside = f"{fits}; {signed}; {_printable(record['made_by'])}"
        beside += f", model {_printable(record['model'])}"
        if isinstance(record.get("voice"), str) and record["voice"]:
            beside += f", voice {_printable(record['voice'])}"
    if not c2pa["checked"]:
        within = f"not checked: {c2pa['why']}"
    elif not c2pa["found"]:
        within = "none"
    elif c2pa["valid"]:
        within = f"valid; its signer, not vouched for by anyone: {_printable(c2pa['signer'])}"
    else:
        within = "not valid: " + ", ".join(_printable(problem) for problem in c2pa["problems"][:5])
    return [f"provenance: {beside}", f"C2PA:       {within}"]


def _printable(text: object) -> str:
    """Make a text that comes from the file itself safe and short enough for a terminal."""
    return make_printable(text, _MAX_TEXT_SHOWN)
