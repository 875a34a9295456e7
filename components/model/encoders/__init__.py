"""One encoder a modality; each gives `Features`."""
