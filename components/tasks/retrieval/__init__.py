"""The task kind retrieval."""
