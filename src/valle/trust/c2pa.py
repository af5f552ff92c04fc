"""Content Credentials: a C2PA manifest in a WAV, MP3 or FLAC file (extra `provenance`).

The manifest says that an algorithm made the speech, and contains the same record as the sidecar
file. It is signed by the user's own key. The specification requires a certificate for that key
(C2PA 2.1, section 14.5, "X.509 certificates"), so a chain with an unknown root is created: readers
report a valid signature by an unknown signer.
"""

from __future__ import annotations

import datetime
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.errors import OutputError, UsageError
from valle.version import __version__

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.x509 import CertificateBuilder

MIME_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac"}
"""The formats that can hold a manifest, by the names of `valle.audio.encoding.FORMATS`."""

_RECORD_LABEL = "org.valle.synthesis.speech"  # of the assertion that holds the record
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_ROOT_NAME, _USER_NAME = "valle, by itself", "a user of valle"
_VALIDITY_DAYS = 3650
_MAX_PROBLEM_LENGTH = 200  # characters of an error that is reported
# Reading a file of unknown origin must not make this machine contact another.
_SETTINGS = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def embed(path: Path, audio_format: str, record: dict[str, Any], key: Ed25519PrivateKey) -> None:
    """Write a manifest with this record into a finished audio file.

    Raises:
        UsageError: c2pa-python is not installed, or the format cannot hold a manifest.
        OutputError: The manifest cannot be written.
    """
    c2pa = _import_c2pa()
    if audio_format not in MIME_TYPES:
        raise UsageError(
            f"{audio_format} files cannot hold Content Credentials; use {', '.join(MIME_TYPES)}"
        )
    mime_type = MIME_TYPES[audio_format]
    action = {"action": "c2pa.created", "digitalSourceType": _SOURCE_TYPE}
    manifest = {
        "claim_generator_info": [{"name": "valle", "version": __version__}],
        "format": mime_type,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": _RECORD_LABEL, "data": record},
        ],
    }
    signed_path = path.with_name(f"{path.name}.c2pa")
    try:
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ED25519, _make_chain(key), _to_pem(key), None)
        )
        with path.open("rb") as source, signed_path.open("w+b") as target:
            c2pa.Builder(manifest).sign(signer, mime_type, source, target)
        signed_path.replace(path)
    except (c2pa.C2paError, OSError) as error:
        raise OutputError(f"cannot write Content Credentials into the file: {error}") from error
    finally:
        signed_path.unlink(missing_ok=True)


def read(path: str | Path) -> dict[str, Any]:
    """Read and validate the manifest in a file. Never raises for what a file contains.

    Returns:
        JSON-compatible values. `checked` is False, with `why`, if c2pa-python is not installed.
        `found` says whether there is a manifest, `valid` whether it matches the file and its
        signature is valid, `state` is C2PA's name for that, and `problems` are C2PA's codes for
        what is wrong.
    """
    try:
        c2pa = _import_c2pa()
    except UsageError as error:
        return {"checked": False, "why": str(error)}
    no_manifest = {"checked": True, "found": False}
    try:
        context = c2pa.Context(settings=c2pa.Settings.from_dict(_SETTINGS))
        with Path(path).open("rb") as file, c2pa.Reader(None, file, context=context) as reader:
            content = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return no_manifest
    except (c2pa.C2paError, OSError, ValueError, RecursionError) as error:
        # A format without manifests is not a problem; a broken manifest is.
        if isinstance(error, c2pa.C2paError.NotSupported):
            return no_manifest
        problem = " ".join(str(error).split())[:_MAX_PROBLEM_LENGTH]
        return {"checked": True, "found": True, "valid": False, "problems": [problem]}
    active = content.get("manifests", {}).get(content.get("active_manifest"), {})
    state = content.get("validation_state")
    records = [
        assertion["data"]
        for assertion in active.get("assertions", [])
        if assertion.get("label") == _RECORD_LABEL
    ]
    return {
        "checked": True,
        "found": True,
        "valid": state in ("Valid", "Trusted"),
        "state": state,
        "problems": [str(status.get("code")) for status in content.get("validation_status", [])],
        "generator": (active.get("claim_generator_info") or [{}])[0].get("name"),
        "signer": active.get("signature_info", {}).get("common_name"),
        "record": records[0] if records else None,
    }


def _import_c2pa() -> Any:
    try:
        return import_module("c2pa")
    except ImportError as error:
        raise UsageError(
            "Content Credentials need the package c2pa-python: pip install 'valle[provenance]'"
        ) from error


def _to_pem(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _make_chain(key: Ed25519PrivateKey) -> bytes:
    """Return certificates, PEM: the user's key, and a root whose private key is discarded."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key = Ed25519PrivateKey.generate()
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        _certificate_builder(_ROOT_NAME, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(root_id, critical=False)
        .sign(root_key, None)
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id)
    leaf = (
        _certificate_builder(_USER_NAME, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(issuer, critical=False)
        .sign(root_key, None)
    )
    return leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)


def _certificate_builder(name: str, key: Ed25519PublicKey) -> CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def to_x509_name(common_name: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, "valle"), (NameOID.COMMON_NAME, common_name))
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])

    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(to_x509_name(name))
        .issuer_name(to_x509_name(_ROOT_NAME))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALIDITY_DAYS))
    )


def _key_usage(signs_certificates: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
