"""ElevenLabs' protocol: text to speech, its WebSockets, and voices.

Its WebSockets are how text that is still being written is spoken; Pipecat and LiveKit speak them.
"""
