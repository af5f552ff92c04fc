"""Speaking the sentences of a book that were not spoken yet, several at once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from valle.arrays import Samples
from valle.books.options import BookOptions
from valle.books.project import BookSentence, Project, make_folder
from valle.books.spoken import SentenceKeys, SpokenRecord, SpokenStore, derive_seed, make_record
from valle.errors import TextError, UsageError
from valle.synthesis.model import Model
from valle.text.delivery import Delivery, DirectedText, Passage
from valle.text.reading import make_reading
from valle.trust import ledger
from valle.trust.marking import make_watermark
from valle.voices import registry
from valle.voices.voice import Voice

THREADS = 2  # that encode parts of a book
# Sentences that are spoken at once share the steps of the AR model, and the other graphs run beside
# them. More would not make a step much cheaper, and more would be lost when it is interrupted.
_SENTENCES = 4


@dataclass(frozen=True)
class SentenceState:
    """A sentence, and what was spoken of it so far."""

    sentence: BookSentence
    key: str
    done: bool


class BookSpeaker:
    """Speaks the sentences of one project with one model."""

    def __init__(self, model: Model, project: Project) -> None:
        """Prepare to speak.

        Raises:
            UsageError: There is no voice of a name, or the lexicon cannot be read.
            RecordingError: A voice file is damaged.
        """
        self.model = model
        self.project = project
        options = project.options
        self._reading = make_reading(True, options.lexicon)
        self.store = SpokenStore(project.sentences_folder, model.sample_rate)
        self.voices = load_voices(project)
        self._keys = SentenceKeys(model.bundle, options, self._reading)

    def voice(self, sentence: BookSentence) -> Voice:
        """Return the voice of a sentence."""
        return self.voices[sentence.voice]

    def key(self, sentence: BookSentence) -> str:
        """Return the key of a sentence: it changes with all that decides how it sounds."""
        return self._keys.find(sentence, self.voice(sentence))

    def list_states(self) -> list[SentenceState]:
        """Return the state of every sentence."""
        states = []
        for sentence in self.project.sentences:
            key = self.key(sentence)
            states.append(SentenceState(sentence, key, self.store.has(key)))
        return states

    def load(self, sentence: BookSentence) -> SpokenRecord | None:
        """Return what was spoken of a sentence, or None."""
        return self.store.load(self.key(sentence))

    def load_sound(self, sentence: BookSentence, record: SpokenRecord) -> Samples:
        """Return the sound of a sentence with its watermark: [frames * hop].

        It is the one that was checked, unless a version before this one has spoken it, or the voice
        has another receipt since.

        Args:
            sentence: A sentence.
            record: What was spoken of it.

        Raises:
            ConsentError: Its voice may not be used.
            OutputError: It has a style, so that it was spoken again, and cannot be kept.
        """
        voice = self.voice(sentence)
        place = self.key(sentence), _name_watermark(voice)
        length = len(record.codes) * self.model.codec.hop
        sound = self.store.load_sound(*place, length)
        if sound is None and sentence.style is not None:  # which is not in the codes
            self.speak(sentence)
            sound = self.store.load_sound(*place, length)
        return self._decode(record, voice) if sound is None else sound

    def _decode(self, record: SpokenRecord, voice: Voice) -> Samples:
        watermark = make_watermark(self.model.sample_rate, voice.consent["id"])
        return self.model.codec.decode(record.codes, self.model.embedding(voice), watermark)

    def speak(self, sentence: BookSentence) -> SpokenRecord:
        """Speak one sentence, and keep it.

        Raises:
            TextError: Nothing in it can be spoken.
            ConsentError: Its voice may not be used.
            OutputError: It cannot be kept.
        """
        options: BookOptions = self.project.options
        delivery = Delivery(None, sentence.rate, sentence.style)
        text = " ".join(sentence.text.split())
        try:
            speech = self.model.speak(
                DirectedText(text, [Passage(text, 0, delivery)]),
                self.voice(sentence),
                seed=derive_seed(options.seed, sentence.planned.id),
                temperature=options.temperature,
                top_p=options.top_p,
                speed=options.speed,
                best_of=options.best_of,
                retries=options.retries,
                lexicon=options.lexicon,
                plain=True,
                redo=[1] * sentence.edit.redo,
            )
        except TextError as error:
            raise TextError(f"sentence {sentence.number}, {text!r}: {error}") from None
        record, key = make_record(speech), self.key(sentence)
        self.store.store_sound(key, _name_watermark(self.voice(sentence)), speech.audio)
        self.store.store(key, record)
        return record

    def speak_all(self) -> Iterator[tuple[BookSentence, SpokenRecord]]:
        """Speak all sentences that were not spoken yet; yields each when it is kept.

        Raises:
            Error: What `speak` raises; what was spoken before is kept.
        """
        waiting = iter([state.sentence for state in self.list_states() if not state.done])
        running: dict[Future[SpokenRecord], BookSentence] = {}
        pool = ThreadPoolExecutor(_SENTENCES, thread_name_prefix="sentence")
        try:
            while True:
                for sentence in waiting:
                    running[pool.submit(self.speak, sentence)] = sentence
                    if len(running) > _SENTENCES:
                        break
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: running[each].number):
                    sentence = running.pop(future)
                    yield sentence, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def load_voices(project: Project) -> dict[str | None, Voice]:
    """Return the voices of a project by the names that sentences give them; None is the narrator.

    Raises:
        UsageError: There is no voice of a name.
        RecordingError: A voice file is damaged.
        ConsentError: A voice file was altered.
    """
    voices: dict[str | None, Voice] = {None: Voice.load(project.voices_folder / project.narrator)}
    for sentence in project.sentences:
        if sentence.voice in voices:
            continue
        assert sentence.voice is not None
        kept = project.voices_folder / _voice_file(sentence.voice)
        if kept.is_file():
            voices[sentence.voice] = Voice.load(kept)
            continue
        try:
            # By its name only: the text of a book is not a place for paths.
            voice = registry.load(sentence.voice)
        except UsageError as error:
            raise UsageError(f"sentence {sentence.number}: {error}") from None
        keep_voice(project, voice, sentence.voice)
        voices[sentence.voice] = voice
    return voices


def keep_voice(project: Project, voice: Voice, name: str) -> str:
    """Copy a voice into the project; returns the name of its file.

    Raises:
        OutputError: It cannot be written.
    """
    make_folder(project.voices_folder)
    file = _voice_file(name)
    data = voice.to_bytes()
    target = project.voices_folder / file
    with contextlib.suppress(OSError):
        if target.read_bytes() == data:
            return file
    voice.save(target)
    return file


def _name_watermark(voice: Voice) -> str:
    """Return what tells the watermark of a voice on this machine from others."""
    owner_key = ledger.get_signing_key().derive_watermark_key()
    return hashlib.sha256(owner_key + voice.consent["id"].encode()).hexdigest()[:16]


def _voice_file(name: str) -> str:
    """Return a file name; that of the voice may come from the text of a book."""
    return hashlib.sha256(name.casefold().encode()).hexdigest()[:16] + ".voice"
