"""Trains or loads the encoder of a modality, and encodes its assets; one run per modality."""
