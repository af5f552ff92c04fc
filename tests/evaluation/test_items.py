"""Test lists: folders of voices, and the forms that papers publish."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valle.cli.evaluate_items import add_items, read_items
from valle.errors import RecordingError, UsageError
from valle.evaluation.items import hash_items, read_folder, read_sentences, select_items
from valle.evaluation.published_lists import read_f5_list, read_librispeech, read_seed_list

RATE = 16_000
VOICES = Path(__file__).parents[2] / "examples" / "voices"


def write_noise(path: Path, seconds: float, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, noise, RATE)


def test_the_sample_voices_are_a_list() -> None:
    items = read_folder(VOICES)
    assert len({item.speaker for item in items}) >= 6
    assert len(items) == 2 * len({item.speaker for item in items})
    for item in items:
        assert item.prompt_text
        assert item.truth is not None
        assert item.truth.stat().st_size <= 100_000 >= item.prompt.stat().st_size
        assert len(item.read_prompt()) >= 3 * RATE


def test_a_voice_without_further_recordings_speaks_new_sentences(tmp_path: Path) -> None:
    write_noise(tmp_path / "My voice!.wav", 2)
    items = read_folder(tmp_path)
    assert len(items) == 6
    assert items[0].key == "My_voice_-new-1"
    assert items[0].prompt_text is None
    two = read_folder(tmp_path, ["One.", "Two."])
    assert [item.text for item in two] == ["One.", "Two."]


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        read_folder(tmp_path / "nothing")
    with pytest.raises(UsageError, match="has no recording"):
        read_folder(tmp_path)
    write_noise(tmp_path / "a.wav", 2)
    write_noise(tmp_path / "a" / "1.wav", 2)
    with pytest.raises(UsageError, match=r"1.wav has no transcript; write it to 1.txt"):
        read_folder(tmp_path)
    (tmp_path / "a" / "1.txt").write_text("\n \n")
    with pytest.raises(UsageError, match="has 0 sentences"):
        read_folder(tmp_path)
    (tmp_path / "a" / "1.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_folder(tmp_path)


def test_seed_lists(tmp_path: Path) -> None:
    write_noise(tmp_path / "prompt-wavs" / "p1.wav", 4)
    write_noise(tmp_path / "wavs" / "g1.wav", 2)
    lines = [
        "k1.wav|It is late.|prompt-wavs/p1.wav|We go home.|wavs/g1.wav",
        "",
        "k2|It is late.|prompt-wavs/p1.wav|We stay.",
        "k3|It is late.|prompt-wavs/p1.wav|We wait.|",
    ]
    path = tmp_path / "meta.lst"
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    first, second, third = read_seed_list(path)
    assert (first.key, first.text, first.prompt_text) == ("k1", "We go home.", "It is late.")
    assert first.truth == tmp_path / "wavs" / "g1.wav"
    assert second.truth is third.truth is None
    assert len(first.read_prompt()) == 4 * RATE  # all of it


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("k1|a|b", "line 1: 3 fields"),
        ("../k1|a|p.wav|b", "cannot name a file"),
        (".k|a|p.wav|b", "cannot name a file"),
        ("k1|a|p.wav| ", "has no text"),
        ("k1|a|q.wav|b", "q.wav, which is not a file"),
        ("k1|a|p.wav|b\nk1|a|p.wav|c", "two items called 'k1'"),
        ("", "lists nothing"),
    ],
)
def test_wrong_lists_are_refused(line: str, reason: str, tmp_path: Path) -> None:
    write_noise(tmp_path / "p.wav", 2)
    (tmp_path / "meta.lst").write_text(line)
    with pytest.raises(UsageError, match=reason):
        read_seed_list(tmp_path / "meta.lst")


@pytest.fixture(scope="module")
def librispeech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers with utterances of 3 to 11 s."""
    folder = tmp_path_factory.mktemp("test-clean")
    for speaker in ("61", "121"):
        chapter = folder / speaker / "7"
        lines = []
        for number, seconds in enumerate((3.0, 4.0, 6.0, 10.0, 11.0)):
            name = f"{speaker}-7-{number:04d}"
            write_noise(chapter / f"{name}.flac", seconds, number)
            lines.append(f"{name} TEXT NUMBER {number}")
        (chapter / f"{speaker}-7.trans.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_librispeech_cross_sentence(librispeech: Path) -> None:
    items = read_librispeech(librispeech)
    assert len(items) == 6  # 4, 6 and 10 s of two speakers
    for item in items:
        assert item.truth is not None
        assert item.prompt != item.truth
        assert item.prompt.name.partition("-")[0] == item.speaker
        assert len(item.read_prompt()) == 3 * RATE
    assert [i.prompt for i in items] == [i.prompt for i in read_librispeech(librispeech)]


def test_librispeech_continuation_and_whole_utterances(librispeech: Path) -> None:
    for item in read_librispeech(librispeech, "continual"):
        assert item.is_continuation
        assert item.prompt == item.truth
        truth = item.read_truth()
        assert truth is not None
        assert np.allclose(item.read_prompt(), truth[: 3 * RATE], atol=1e-4)
    for item in read_librispeech(librispeech, "utterance"):
        assert item.prompt_seconds is None
        assert item.prompt_text is not None
        assert item.prompt != item.truth


def test_options_of_another_format_are_refused(librispeech: Path) -> None:
    parser = argparse.ArgumentParser()
    add_items(parser)
    for option in (["--task", "cross"], ["--librispeech", "x"]):
        with pytest.raises(UsageError, match=option[0]):
            read_items(parser.parse_args([str(librispeech), *option]))
    given = parser.parse_args([str(librispeech), "--format", "librispeech"])
    assert {item.prompt_seconds for item in read_items(given)} == {3.0}


def test_a_damaged_recording_of_librispeech_is_named(tmp_path: Path) -> None:
    chapter = tmp_path / "1" / "2"
    chapter.mkdir(parents=True)
    (chapter / "1-2-0000.flac").write_bytes(b"no sound")
    (chapter / "1-2.trans.txt").write_text("1-2-0000 A TEXT\n")
    with pytest.raises(RecordingError, match=r"1-2-0000\.flac"):
        read_librispeech(tmp_path)


def test_f5_lists(librispeech: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.lst"
    path.write_text("61-7-0001\t4.0\tText number one.\t61-7-0002\t6.0\tText number two.\n")
    (item,) = read_f5_list(path, librispeech)
    assert (item.key, item.speaker, item.text) == ("61-7-0002", "61", "Text number two.")
    assert item.prompt == librispeech / "61" / "7" / "61-7-0001.flac"
    path.write_text("61-7-0001\t4.0\tText.\n")
    with pytest.raises(UsageError, match="3 fields"):
        read_f5_list(path, librispeech)


def test_the_hash_of_a_list_is_that_of_its_content(tmp_path: Path) -> None:
    write_noise(tmp_path / "a" / "x.wav", 2)
    write_noise(tmp_path / "b" / "x.wav", 2)
    first, moved = (read_folder(tmp_path / name, ["One."]) for name in "ab")
    assert hash_items(first) == hash_items(moved)
    assert hash_items(first) != hash_items(read_folder(tmp_path / "a", ["Two."]))
    write_noise(tmp_path / "b" / "x.wav", 2, seed=1)
    assert hash_items(first) != hash_items(read_folder(tmp_path / "b", ["One."]))


def test_a_part_is_spread_over_the_list(tmp_path: Path) -> None:
    write_noise(tmp_path / "x.wav", 2)
    items = read_folder(tmp_path, [f"Text {number}." for number in range(10)])
    assert [item.key for item in select_items(items, 5)] == [f"x-new-{n}" for n in (1, 3, 5, 7, 9)]
    assert select_items(items, None) == select_items(items, 99) == items


def test_sentences_of_the_package_can_be_read() -> None:
    from valle.evaluation.items import SENTENCES

    assert len(read_sentences(SENTENCES)) == 6
