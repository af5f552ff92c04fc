"""The registry in both databases: migrations, voices, keys, consents and revocations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra [serve]")

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import valle
from valle.consent import challenge, revocation
from valle.errors import ConsentError, OutputError, UsageError
from valle.registry import keys
from valle.registry.consents import NewConsent, UnknownConsentError
from valle.registry.database import Database, DatabaseUnavailableError
from valle.registry.keys import LOCAL_CALLER, Caller
from valle.registry.receipts import check_not_revoked
from valle.registry.registry import Registry
from valle.registry.tables import LOCAL, Base, LedgerRow, MachineRow
from valle.registry.voices import UnknownVoiceError
from valle.trust import keys as signing_keys
from valle.trust import ledger
from valle.voices import registry as voice_folder

ADA = Caller("key_a", "ada", frozenset(keys.DEFAULT_SCOPES))
BOB = Caller("key_b", "bob", frozenset(keys.DEFAULT_SCOPES))


def test_migrations_make_the_tables_that_the_code_has(registry: Registry) -> None:
    with registry.database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []
    Database(registry.database.engine.url.render_as_string(hide_password=False)).close()


def test_voices_are_found_by_id_and_name_of_their_owner_alone(
    registry: Registry, voice: valle.Voice
) -> None:
    row = registry.voices.add(ADA.id, voice)
    shared = registry.voices.add(LOCAL, dataclasses.replace(voice, name="Shared"))
    assert registry.voices.find(ADA, row.id).id == row.id
    assert registry.voices.find(ADA, "BABBLE").id == row.id
    assert [r.name for r in registry.voices.list(ADA)] == ["Babble", "Shared"]
    assert [r.name for r in registry.voices.list(BOB)] == ["Shared"]
    assert registry.voices.find(BOB, "shared").id == shared.id
    errors = []
    for unknown in (row.id, "Babble", "voice_0000", "../../etc/passwd", "' OR 1=1 --", "\0"):
        with pytest.raises(UnknownVoiceError) as refused:
            registry.voices.find(BOB, unknown)
        errors.append(str(refused.value).replace(repr(unknown), "X"))
    assert len(set(errors)) == 1, "an id that exists is told from one that does not"


def test_a_voice_comes_back_whole_and_unaltered(registry: Registry, voice: valle.Voice) -> None:
    row = registry.voices.add(ADA.id, voice)
    loaded = Registry(
        registry.database.engine.url.render_as_string(hide_password=False),
        registry.objects._root,
    ).voices.load(row)
    assert loaded.to_bytes() == voice.to_bytes()
    registry.objects.put(row.object_key, voice.to_bytes()[:-1])
    with pytest.raises(ConsentError, match="altered"):
        registry.voices.load(row)


def test_names_are_unique_for_each_owner(registry: Registry, voice: valle.Voice) -> None:
    registry.voices.add(ADA.id, voice)
    registry.voices.add(BOB.id, voice)
    with pytest.raises(UsageError, match="already"):
        registry.voices.check_free(ADA.id, "babble")
    with pytest.raises(UsageError, match="already"):
        registry.voices.add(ADA.id, voice)


def test_voices_of_the_folder_are_taken_over_while_it_runs(
    registry: Registry, voice: valle.Voice
) -> None:
    assert registry.voices.list(LOCAL_CALLER) == []
    voice_folder.add(voice)
    assert registry.machine.synchronize() == []
    (row,) = registry.voices.list(LOCAL_CALLER)
    registry.machine.synchronize()
    assert [r.id for r in registry.voices.list(LOCAL_CALLER)] == [row.id]
    voice_folder.rename("Babble", "Prattle")
    registry.machine.synchronize()
    assert [r.name for r in registry.voices.list(LOCAL_CALLER)] == ["Prattle"]
    (voice_folder.folder() / "Bad.safetensors").write_bytes(b"x" * 100)
    assert "'Bad'" in registry.machine.synchronize()[0]
    voice_folder.remove("Prattle")
    registry.machine.synchronize()
    assert registry.voices.list(LOCAL_CALLER) == []


def test_what_the_command_line_revokes_is_revoked_for_all_machines(
    registry: Registry, voice: valle.Voice
) -> None:
    voice_folder.add(voice)
    registry.machine.synchronize()
    check_not_revoked(registry.database, voice.consent["id"])
    revocation.revoke("Babble")
    registry.machine.synchronize()
    with pytest.raises(ConsentError, match="revoked"):
        check_not_revoked(registry.database, voice.consent["id"])


def test_a_revocation_in_the_registry_reaches_the_command_line(
    registry: Registry, voice: valle.Voice
) -> None:
    registry.revoke(voice.consent["id"], voice.consent["recording_sha256"])
    assert voice.consent["id"] in ledger.read_head().revoked
    with pytest.raises(ConsentError, match="revoked"):
        check_not_revoked(registry.database, voice.consent["id"])


def test_the_ledger_is_copied_line_by_line(registry: Registry) -> None:
    ledger.append("speak", receipt="r", text_hmac="0" * 64)
    registry.machine.synchronize()
    ledger.append("speak", receipt="r", text_hmac="1" * 64)
    registry.machine.synchronize()
    with registry.database.session() as session:
        rows = session.query(LedgerRow).order_by(LedgerRow.number).all()
    assert [row.line.encode() for row in rows] == ledger.read_raw_lines()


def test_keys_are_stored_as_hashes_and_revoked_at_once(registry: Registry) -> None:
    secret, row = keys.create_key(registry.database, "laptop", ("speak",), 60.0)
    assert secret not in repr(vars(keys.list_keys(registry.database)[0]))
    caller = keys.find_caller(registry.database, secret)
    assert caller == Caller(row.id, "laptop", frozenset({"speak"}), 60.0)
    for wrong in ("", "x", secret[:-1], secret + "x", "' OR '1'='1", "ü" * 40, "\ud800" * 20):
        assert keys.find_caller(registry.database, wrong) is None
    assert keys.count_keys(registry.database) == 1
    assert keys.revoke_key(registry.database, "laptop") == 1
    assert keys.find_caller(registry.database, secret) is None
    with pytest.raises(UsageError, match="no valid key"):
        keys.revoke_key(registry.database, "laptop")
    with pytest.raises(UsageError, match="scopes are"):
        keys.create_key(registry.database, "laptop", ("fly",))


def test_a_consent_takes_the_newest_challenge_of_its_owner(registry: Registry) -> None:
    new = NewConsent("Ada", "en-US", b"recording", "bin")
    registry.consents.open_challenge(BOB, challenge.create("Ada"))
    with pytest.raises(ConsentError, match="no challenge for 'Ada' is open"):
        registry.consents.create(ADA, new)
    mine = challenge.create("Ada")
    registry.consents.open_challenge(ADA, mine)
    row = registry.consents.create(ADA, new)
    assert row.challenge["id"] == mine.id
    assert registry.consents.read_recording(row) == b"recording"
    with pytest.raises(ConsentError, match="open"):
        registry.consents.create(ADA, new)
    with pytest.raises(UnknownConsentError):
        registry.consents.get(BOB, row.id)
    registry.consents.reserve(row)
    with pytest.raises(ConsentError, match="has been used"):
        registry.consents.reserve(row)
    registry.consents.use(row, "voice_1", "receipt")
    with pytest.raises(OutputError, match="object store"):
        registry.consents.read_recording(row)


def test_consents_are_listed_in_pages(registry: Registry) -> None:
    rows = []
    for number in range(5):
        registry.consents.open_challenge(ADA, challenge.create(f"Ada {number}"))
        new = NewConsent(f"Ada {number}", "en-US", b"r", "bin")
        rows.append(registry.consents.create(ADA, new))
    first, more = registry.consents.list(ADA, None, 3)
    rest, no_more = registry.consents.list(ADA, first[-1].id, 3)
    assert [row.id for row in (*first, *rest)] == [row.id for row in reversed(rows)]
    assert (more, no_more) == (True, False)
    assert registry.consents.list(BOB, None, 3) == ([], False)


@pytest.mark.parametrize("url", ["mysql://x:secret@h/db", "nonsense", "sqlite+x:///a"])
def test_other_databases_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(UsageError, match="--database takes") as refused:
        Database(url)
    assert "secret" not in str(refused.value)


def test_a_database_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError):
        Database("sqlite:////proc/nowhere/registry.db")
    pytest.importorskip("psycopg", reason="needs the extra [postgres]")
    with pytest.raises(DatabaseUnavailableError):
        Database("postgresql://valle@127.0.0.1:1/none")


def test_closed_registry_leaves_no_machine_trusted(registry: Registry) -> None:
    other = "ab" * 32
    with registry.database.session() as session:
        session.add(MachineRow(key_id=other))
    registry.machine.synchronize()
    signing_keys.check_known(other)
    registry.close()
    with pytest.raises(ConsentError, match="not known here"):
        signing_keys.check_known(other)
