"""The task kind vqa."""
