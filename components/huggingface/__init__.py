"""Models of Hugging Face Transformers as encoders: where they are, what rebuilds them, weights."""
