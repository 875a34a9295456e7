"""Models of Hugging Face Transformers and timm as encoders: where they are, what rebuilds them."""
