"""The modality tabular: numbers and categories of a row."""
