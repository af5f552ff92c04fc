"""Scripts: dialogues of several voices, from their notations to speech."""
