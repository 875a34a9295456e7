"""Joint training of fusion, Transformer and heads on every task."""
