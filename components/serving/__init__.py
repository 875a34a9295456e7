"""Ask a registered model."""
