"""The task kind classification."""
