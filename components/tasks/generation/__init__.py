"""The task kind generation."""
