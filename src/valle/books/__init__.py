"""Books: audiobooks in which every sentence can be repaired."""
