"""Sources of data: one module per source."""
