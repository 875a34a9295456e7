"""The modality vector, a toy: files of float32 numbers."""
