"""Modalities: a folder per modality."""
