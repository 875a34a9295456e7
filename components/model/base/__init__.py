"""What encoders and learning stages share: features, layers, data access and the training loop."""
