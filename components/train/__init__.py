"""Joint training of fusion, Transformer and heads on all tasks."""
