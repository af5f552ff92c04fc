"""`kill -9` at every write: the next start repairs what there is to repair, by itself.

A child process does what writes files, and is killed before each file that it opens to write,
renames, links or removes, and while each is being written. Then another does everything again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import valle

if not hasattr(os, "fork"):
    pytest.skip("one child forks for every kill", allow_module_level=True)

# Kills itself at the n-th write below a folder. Audit hooks see every operation on files; bytes
# that did not reach the disk are a file that is cut in the middle of what was written last.
_CHILD = '''
import json, os, shutil, signal, sys, time
import numpy as np
import valle.synthesis.speech
from pathlib import Path
from signed_speech import RATE, RECORD
from valle.consent import challenge, issuing, prints, revocation
from valle.errors import UsageError
from valle.files import write_private_file
from valle.trust import audit, ledger, private_files, provenance, spoken
from valle.voices import registry
from voice_files import make_voice

prints._embed = lambda samples, rate: np.eye(1, 192, dtype=np.float32)[0]
base = Path(sys.argv[1])
left, torn, sizes = -1, False, {}
sound = (0.1 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)


def is_ours(path):
    return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(str(base))


def count():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(event, arguments):
    if event == "open" and is_ours(arguments[0]):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            path = os.fsdecode(arguments[0])
            sizes[path] = os.path.getsize(path) if os.path.exists(path) else 0
            count()
    elif event in ("os.rename", "os.remove", "os.link", "os.mkdir") and is_ours(arguments[0]):
        count()


def sync(descriptor):
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    global left
    left -= 1
    if left == 0:
        size = os.fstat(descriptor).st_size
        before = sizes.get(path, 0)
        os.truncate(path, before + (size - before) // 2)
        os.kill(os.getpid(), signal.SIGKILL)


def save(number):
    none = np.zeros((0, 8), np.int64)
    speech = valle.synthesis.speech.Speech(
        sound * number, RATE, none, [], [], None, [], RECORD
    )
    speech.save(base / "out" / "speech.wav", key=ledger.get_signing_key().private, overwrite=True)


def start():
    ledger.get_signing_key()


def enroll():
    voice = make_voice("Anna")
    issuing.record_enrollment(voice)
    registry.add(voice)


def rename():
    registry.rename("Anna", "Berta")


def revoke():
    revocation.revoke("Anna")


def speak():
    ledger.record_text("So be it.", receipt="a" * 64, model="m", voice="Anna", seed=0)
    with spoken.SpokenPrints(RATE) as kept:
        kept.add("a" * 64, sound)


def ask():
    challenge.create("Anna")


def accept():
    issuing._save_fingerprint(challenge.find(None, "Anna"), np.ones((9, 8), bool))
    challenge.consume(challenge.find(None, "Anna"))


def write():
    save(2)


def export():
    write_private_file(base / "out" / "owner.key", b"x" * 32)


STEPS = {
    "start": ([], start),
    "enroll": ([start], enroll),
    "rename": ([enroll], rename),
    "revoke": ([enroll], revoke),
    "speak": ([enroll], speak),
    "ask": ([start], ask),
    "accept": ([ask], accept),
    "write": ([lambda: save(1)], write),
    "export": ([export], export),
}


def check(step):
    """Everything works again, and nothing was lost. Returns what is wrong."""
    found = audit.audit().faults if (base / "home" / "safety" / "ledger.jsonl").exists() else ()
    if any(fault.why != audit.INTERRUPTED for fault in found):
        return f"audit: {[str(fault) for fault in found]}"
    ledger.append("speak", receipt="after")
    if audit.audit().faults:
        return "the ledger is not whole after its next use"
    voices = {name: registry.load(name) for name in registry.names()}
    lines = [line["what"] for line in ledger.read_lines()]
    if step in ("rename", "revoke", "speak") and not set(voices) & {"Anna", "Berta"}:
        return "the voice is gone"
    if step == "revoke" and "revoke" in lines and not ledger.read_head().revoked:
        return "the revocation is in the ledger, and does not hold"
    revocation.list_receipts()
    issuing._load_fingerprints()
    list(spoken._load_all("a" * 64))
    out = base / "out" / "speech.wav"
    if step == "write":
        record = provenance.read_sidecar(out)
        if not out.exists() or (record is not None and record.altered):
            return "the output is gone, or its record accuses it"
    if step == "export" and (base / "out" / "owner.key").read_bytes() != b"x" * 32:
        return "the key file is not whole"
    long_ago = time.time() - 7200
    for folder in ("home/safety", "home/voices", "out", "state"):
        for path in (base / folder).rglob(".*.tmp"):
            os.utime(path, (long_ago, long_ago))
    STEPS[step][1]() if step not in ("rename", "revoke", "accept") else None
    registry.add(make_voice("Clara"))
    save(3)
    ledger.append("speak", receipt="after")
    remaining = [str(path) for path in base.rglob(".*.tmp")]
    return f"left for good: {remaining}" if remaining else ""


def fork(work):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, json.dumps(work()).encode())
            os._exit(0)
        except UsageError as error:  # a name that is taken: the enrollment was complete
            os.write(write, json.dumps("" if "already" in str(error) else str(error)).encode())
            os._exit(0)
        except BaseException as error:
            os.write(write, json.dumps(f"{type(error).__name__}: {error}").encode())
            os._exit(1)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), json.loads(said or b"null")


def run(step):
    """Kill the step at its first write, its second, ... until it runs through."""
    prepare, act = STEPS[step]

    def begin():
        for one in prepare:
            one()

    shutil.rmtree(base, ignore_errors=True)
    (base / "out").mkdir(parents=True)
    code, said = fork(begin)
    assert code == 0, said
    prepared = base.with_name(f"before {step}")
    shutil.copytree(base, prepared)
    kills, faults = 0, []
    while True:
        shutil.rmtree(base)
        shutil.copytree(prepared, base)

        def killed():
            global left
            left = kills + 1
            sys.addaudithook(watch)
            act()

        code, said = fork(killed)
        if code != -signal.SIGKILL:
            return kills, faults + ([said] if said else [])
        kills += 1
        code, said = fork(lambda: check(step))
        if code or said:
            faults.append(f"{step}, killed at write {kills}: {said}")


os.environ["VALLE_HOME"] = str(base / "home")
os.environ["VALLE_STATE"] = str(base / "state")
os.fsync = sync  # which need not wait for the disk: what was written outlives a process
print(json.dumps({step: run(step) for step in STEPS}))
'''


def test_kill_at_every_write_needs_no_repair(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    sources = Path(valle.__file__).parents[1]
    finished = subprocess.run(
        [sys.executable, "-c", _CHILD, tmp_path / "work"],
        env=os.environ | {"PYTHONPATH": f"{sources}{os.pathsep}{tests}"},
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    results = json.loads(finished.stdout)
    assert [fault for _, faults in results.values() for fault in faults] == []
    # Each step writes, and was killed at every write of it.
    assert all(kills >= 2 for kills, _ in results.values()), results
    assert results["enroll"][0] >= 10
