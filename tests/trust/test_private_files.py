"""Everything in the data folder is for its owner alone, whatever the umask was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from valle.consent import challenge, issuing, prints, revocation
from valle.files import write_private_file
from valle.trust import ledger, spoken
from valle.voices import registry
from voice_files import make_voice

if os.name != "posix":
    pytest.skip("POSIX permissions", allow_module_level=True)


@pytest.fixture(params=[0o000, 0o002, 0o077])
def umask(request: pytest.FixtureRequest) -> object:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_all_that_is_kept_is_private(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "new" / "home"))
    monkeypatch.setenv("VALLE_STATE", str(tmp_path / "new" / "state"))
    embedding = np.eye(1, 192, dtype=np.float32)[0]
    monkeypatch.setattr(prints, "_embed", lambda samples, rate: embedding)
    (tmp_path / "new").mkdir(mode=0o755)
    anna = make_voice("Anna")
    issuing.record_enrollment(anna)
    registry.add(anna)
    registry.add(make_voice("Berta"))
    registry.rename("Berta", "Clara")
    opened = challenge.create("Anna")
    issuing._save_fingerprint(opened, np.ones((9, 8), bool))
    ledger.record_text("So be it.", receipt=anna.consent["id"], model="m", voice="Anna", seed=0)
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    with spoken.SpokenPrints(16_000) as kept:
        kept.add(anna.consent["id"], noise)
    revocation.revoke("Anna")
    write_private_file(tmp_path / "new" / "home" / "owner.key", b"secret")
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    # key, ledger, its head, its witness, lock, challenge, statement, print of the recording, of
    # the speech, two voices, and the exported key
    assert len(files) == 12
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {
        path.name: "0o600" for path in files
    }
    folders = [path for path in (tmp_path / "new").rglob("*") if path.is_dir()]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folders}
    shared = {name: oct(mode) for name, mode in modes.items() if mode & 0o077}
    assert shared == {}
