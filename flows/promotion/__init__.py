"""Gates, and the log of promotions."""
