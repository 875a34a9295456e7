"""The task kind regression."""
