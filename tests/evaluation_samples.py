"""What examples/voice.wav says, and sentences that it does not say."""

from pathlib import Path

VOICE = Path(__file__).parents[1] / "examples" / "voice.wav"
TRANSCRIPT = (
    "Good morning. The rain has stopped, and the garden smells of mint and warm earth. "
    "Shall we walk down to the river?"
)
OTHERS = ["He sat down at the piano.", "The train was on time.", "This is very good news."]
