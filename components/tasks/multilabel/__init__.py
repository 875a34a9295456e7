"""The task kind multilabel."""
