"""Figures of a model, measured with instruments that are not ours (extra `eval`)."""
