"""Fusions of modalities."""
