"""Weightings of the losses of several tasks."""
