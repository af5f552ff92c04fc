"""Speech of text that comes word by word, from end to end with a tiny model."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import valle
from valle.runtime import ar
from valle.synthesis import symbol_reader
from valle.training.models import phonemes
from valle.trust import ledger

TEXT = (
    "The house on the hill behind the village is green and rather old, and nobody lives there. "
    "It costs $123 today, or does it?"
)
WORDS = re.findall(r"\S+\s*", TEXT)


def test_context_is_that_of_the_phoneme_encoder() -> None:
    assert ar.RIGHT_CONTEXT == phonemes.CONVOLUTIONS * (phonemes.KERNEL // 2)


def test_rows_do_not_depend_on_what_comes_after_their_context(
    model: valle.Model, voice: valle.Voice
) -> None:
    acoustic_model = model._pipeline.acoustic_model
    rng = np.random.default_rng(0)
    ids, stress = rng.integers(1, 40, 90), rng.integers(0, 3, 90)
    embedding = model.embedding(voice)
    whole = acoustic_model._ar.encode(ids, stress, embedding)
    assert whole.shape[0] == 90
    for known in (7, 31, 32, 38, 39, 64, 70, 89):
        part = acoustic_model._ar.encode(ids[:known], stress[:known], embedding)
        rows = slice(max(0, known - ar.RIGHT_CONTEXT))
        np.testing.assert_array_equal(part[rows], whole[rows])


def test_speech_begins_before_the_sentence_ends_and_is_that_of_the_whole(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbol_reader, "LIKELY_UNTIL", 0)
    taken: list[str] = []

    def write() -> Iterator[str]:
        for word in WORDS:
            taken.append(word)
            yield word

    stream = model.stream(write(), voice, seed=3)
    first = next(stream)
    assert len(taken) < len(TEXT.split(". ")[0].split())
    live = valle.Speech.join([first, *stream])
    whole = model.speak(TEXT, voice, retries=0, seed=3)
    # Blocks of the NAR model end where the text has not come yet; codebook 1 is the same.
    np.testing.assert_array_equal(live.codes[:, 0], whole.codes[:, 0])
    assert live.phonemes == whole.phonemes
    assert live.words == whole.words
    assert [s.text for s in live.sentences] == [s.text for s in whole.sentences]
    assert [s.text_start for s in live.sentences] == [s.text_start for s in whole.sentences]
    assert len(live.audio) == len(live.codes) * model.codec.hop


@pytest.mark.parametrize("options", [{"retries": 1}, {"speed": 0.8}, {"best_of": 2}])
def test_what_needs_a_whole_sentence_waits_for_it(
    model: valle.Model, voice: valle.Voice, options: dict[str, float]
) -> None:
    live = valle.Speech.join(model.stream(iter(WORDS), voice, seed=3, **options))  # type: ignore[arg-type]
    whole = model.speak(TEXT, voice, seed=3, **{"retries": 0, **options})  # type: ignore[arg-type]
    np.testing.assert_array_equal(live.audio, whole.audio)


def test_directions_hold_in_text_that_comes(model: valle.Model, voice: valle.Voice) -> None:
    parts = ["So be it now. [pau", "se:1.5s] Am", "en to all of it. [ra", "te:0.5]Go on, go on."]
    speech = valle.Speech.join(model.stream(parts, voice))
    first, second, _ = speech.sentences
    assert second.start - first.end == pytest.approx(1.5, abs=0.021)
    assert [
        word.word for word in speech.words
    ] == "So be it now Amen to all of it Go on go on".split()


def test_ledger_has_the_words_before_they_are_spoken(
    model: valle.Model, voice: valle.Voice
) -> None:
    stream = model.stream(iter(WORDS), voice)
    entered: list[int] = []
    append = ledger.append

    def note(*arguments: object, **fields: object) -> object:
        entered.append(1)
        return append(*arguments, **fields)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "append", note)
        next(stream)
        assert len(entered) == 1
        list(stream)
    assert len(entered) == 4  # of each sentence its beginning and the whole


def test_others_go_on_while_a_text_is_awaited(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbol_reader, "LIKELY_UNTIL", 0)
    go_on = threading.Event()

    def write() -> Iterator[str]:
        yield from WORDS[:6]
        assert go_on.wait(60)
        yield from WORDS[6:]

    alone = model.speak("So be it, and amen.", voice, retries=0)
    results: list[valle.Speech] = []
    thread = threading.Thread(
        target=lambda: results.append(valle.Speech.join(model.stream(write(), voice, seed=3)))
    )
    thread.start()
    beside = model.speak("So be it, and amen.", voice, retries=0)
    go_on.set()
    thread.join(60)
    np.testing.assert_array_equal(alone.codes, beside.codes)
    whole = model.speak(TEXT, voice, retries=0, seed=3)
    np.testing.assert_array_equal(results[0].codes[:, 0], whole.codes[:, 0])


def test_stream_that_is_dropped_takes_no_more_text(model: valle.Model, voice: valle.Voice) -> None:
    taken: list[str] = []

    def write() -> Iterator[str]:
        for word in WORDS:
            taken.append(word)
            yield word

    stream = model.stream(write(), voice)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(taken) < len(WORDS)
    batch = model._pipeline.acoustic_model._ar._batch
    model.speak("Amen.", voice, retries=0)
    assert not [request for request in batch._requests if not request.cancelled]
