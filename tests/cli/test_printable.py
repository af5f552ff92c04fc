"""What comes from elsewhere cannot steer the terminal, and texts never fail to be printed."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from valle.cli.main import main
from valle.cli.printable import make_printable
from valle.cli.texts import read_text
from valle.corpora.store import StoreWriter, UtteranceInfo
from valle.errors import TextError


def test_control_characters_are_shown_as_question_marks() -> None:
    assert make_printable("a\x1b[31mb\r\u202ec\n") == "a?[31mb??c?"
    assert make_printable("x" * 20, 5) == "xxxxx..."
    assert make_printable("Zo\u00eb") == "Zo\u00eb"


def test_error_does_not_print_escapes_of_a_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "no\x1b[31mfile.wav"]) == 3
    assert "\x1b" not in capsys.readouterr().err


def test_ascii_output_gets_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    writer = StoreWriter(tmp_path / "Zo\u00eb")
    info = UtteranceInfo("a", "c", "s", None, waveform_is_clean=True, license="\udcff")
    writer.add(info, np.ones(16_000, np.float32))
    writer.close()
    assert main(["doctor", str(tmp_path / "Zo\u00eb")]) == 0
    output.flush()
    printed = output.buffer.getvalue().decode()
    assert "Zo\\xeb: 1 utterances" in printed
    assert "licenses: \\udcff" in printed


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_device_is_no_text() -> None:
    with pytest.raises(TextError, match="64 MiB"):
        read_text(None, Path("/dev/zero"))
