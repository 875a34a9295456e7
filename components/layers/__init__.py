"""Network layers that encoders, fusions and heads are made of."""
