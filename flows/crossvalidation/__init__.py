"""Cross-validation: the whole pipeline once per fold, and how its figures spread."""
