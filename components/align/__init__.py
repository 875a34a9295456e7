"""One space for all modalities."""
