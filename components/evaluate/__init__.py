"""What the model has learnt, on data held out."""
