"""Encoders, several for each modality; each gives `Features`."""
