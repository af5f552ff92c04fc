"""From the segments of a text to utterances: each with its voice, style, place and pauses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from valle.runtime.sampling import Sampling
from valle.styles import StyleShift, parse_style
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.cast import Cast
from valle.synthesis.request import SpeechRequest
from valle.synthesis.utterance import OpenUtterance, Utterance
from valle.text.delivery import Delivery
from valle.text.tokens import Skipped


class UtteranceReader:
    """Reads the utterances of one text, in order, as they come.

    Attributes:
        skipped: What cannot be spoken of the text read so far; whoever reports it clears it.
        pause_after: Seconds of silence that the text asks for after the last utterance, or None.
    """

    def __init__(self, request: SpeechRequest, cast: Cast, acoustic_model: AcousticModel) -> None:
        self._request = request
        self._cast = cast
        self._acoustic_model = acoustic_model
        self.skipped: list[Skipped] = []
        self.pause_after: float | None = None

    def __iter__(self) -> Iterator[Utterance]:
        request, options = self._request, self._request.options
        sampling = Sampling(options.temperature, options.top_p)
        previous_end, index = None, 0
        for segment in request.segments:
            self.skipped.extend(segment.skipped)
            if segment.sentence is None:
                if segment.pause_after is not None:
                    self.pause_after = (self.pause_after or 0.0) + segment.pause_after
                continue
            locate = partial(request.source.locate, previous_end=previous_end)
            written = locate(segment.sentence)
            delivery = segment.delivery
            prompt = self._cast[delivery.voice].prompt
            yield replace(
                self._acoustic_model.prepare(segment.sentence, prompt),
                delivery=delivery,
                shift=self._find_shift(delivery),
                pause_before=self.pause_after,
                pause_after=segment.pause_after,
                sampling=sampling,
                seed=options.seed,
                index=index,
                count=request.count,
                written=written,
                opened=OpenUtterance(segment.open, locate) if segment.open else None,
            )
            self.pause_after = segment.pause_after
            if segment.open:
                written = locate(segment.open.sentence)
                self.skipped.extend(segment.open.skipped)
                self.pause_after = segment.open.pause_after
            previous_end = written.end
            index += 1

    def _find_shift(self, delivery: Delivery) -> StyleShift | None:
        """Return the style of a passage, else that of the text; a given length stays as it is."""
        request = self._request
        style = request.options.style if delivery.style is None else parse_style(delivery.style)
        shift = None if style is None else style.resolve()
        if shift and (request.options.duration is not None or request.phrases is not None):
            shift = replace(shift, rate=1.0)
        return shift if shift != StyleShift() else None
