"""Predictions of a registered model."""
