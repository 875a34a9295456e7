"""Models of Hugging Face Transformers as encoders: where they lie, and what rebuilds them."""
