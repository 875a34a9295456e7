"""From the bytes of media to tensors: the same code for the pipeline and for a served model."""
