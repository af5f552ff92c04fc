"""Content Credentials: a C2PA manifest inside a WAV, MP3 or FLAC file, by the extra `provenance`.

The manifest says that an algorithm made the speech, and holds the record that lies beside the file
too. It is signed by the user's own key. The specification wants that key certified by another
("X.509 certificates", section 14.5 of version 2.1), so a chain is made whose root nobody knows:
readers say that the signature is valid, and that they do not know the signer.
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

MIME = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac"}
"""The formats that can hold a manifest, by the names of `valle.audio.recording.FORMATS`."""

_RECORD = "org.valle.synthesis.speech"  # the assertion that holds the record
_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_ROOT, _USER = "valle, by itself", "a user of valle"
_DAYS = 3650
# A file from anywhere must not make this machine call another.
_SETTINGS = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def embed(path: Path, audio_format: str, record: dict[str, Any], key: Ed25519PrivateKey) -> None:
    """Put a manifest with this record into a finished audio file.

    Raises UsageError where c2pa-python is not installed or the format cannot hold a manifest,
    OutputError where the manifest cannot be made.
    """
    c2pa = _library()
    if audio_format not in MIME:
        raise UsageError(
            f"{audio_format} files cannot hold Content Credentials; use {', '.join(MIME)}"
        )
    mime = MIME[audio_format]
    made = {"action": "c2pa.created", "digitalSourceType": _MADE}
    manifest = {
        "claim_generator_info": [{"name": "valle", "version": __version__}],
        "format": mime,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [made]}},
            {"label": _RECORD, "data": record},
        ],
    }
    whole = path.with_name(f"{path.name}.c2pa")
    try:
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ED25519, _chain(key), _pem(key), None)
        )
        with path.open("rb") as source, whole.open("w+b") as target:
            c2pa.Builder(manifest).sign(signer, mime, source, target)
        whole.replace(path)
    except (c2pa.C2paError, OSError) as error:
        raise OutputError(f"cannot put Content Credentials into the file: {error}") from error
    finally:
        whole.unlink(missing_ok=True)


def read(path: str | Path) -> dict[str, Any]:
    """What the manifest inside a file says: plain values.

    `checked` is False, with `why`, where c2pa-python is not installed. `found` says whether there
    is a manifest, `valid` whether it fits the file and its signature is right, `state` what C2PA
    calls that, `problems` C2PA's codes for what is wrong. Never raises for what a file holds.
    """
    try:
        c2pa = _library()
    except UsageError as error:
        return {"checked": False, "why": str(error)}
    none = {"checked": True, "found": False}
    try:
        context = c2pa.Context(settings=c2pa.Settings.from_dict(_SETTINGS))
        with Path(path).open("rb") as file, c2pa.Reader(None, file, context=context) as reader:
            content = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return none
    except (c2pa.C2paError, OSError, ValueError, RecursionError) as error:
        # A format that holds no manifests is no problem; a manifest that is broken is one.
        if isinstance(error, c2pa.C2paError.NotSupported):
            return none
        problem = " ".join(str(error).split())[:200]
        return {"checked": True, "found": True, "valid": False, "problems": [problem]}
    active = content.get("manifests", {}).get(content.get("active_manifest"), {})
    state = content.get("validation_state")
    return {
        "checked": True,
        "found": True,
        "valid": state in ("Valid", "Trusted"),
        "state": state,
        "problems": [str(one.get("code")) for one in content.get("validation_status", [])],
        "generator": (active.get("claim_generator_info") or [{}])[0].get("name"),
        "signer": active.get("signature_info", {}).get("common_name"),
        "record": next(
            (one["data"] for one in active.get("assertions", []) if one.get("label") == _RECORD),
            None,
        ),
    }


def _library() -> Any:
    try:
        return import_module("c2pa")
    except ImportError as error:
        raise UsageError(
            "Content Credentials need the package c2pa-python: pip install 'valle[provenance]'"
        ) from error


def _pem(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _chain(key: Ed25519PrivateKey) -> bytes:
    """Certificates, PEM: the user's key, and a root whose own key is thrown away."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key = Ed25519PrivateKey.generate()
    known_as = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        _certificate(_ROOT, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(known_as, critical=False)
        .sign(root_key, None)
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known_as)
    leaf = (
        _certificate(_USER, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(issuer, critical=False)
        .sign(root_key, None)
    )
    return leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)


def _certificate(name: str, key: Ed25519PublicKey) -> CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def named(common: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, "valle"), (NameOID.COMMON_NAME, common))
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])

    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(_ROOT))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _usage(signs_certificates: bool) -> Any:
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
