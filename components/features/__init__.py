"""Each modality's encoder, taught what its modality alone can know, and the features it gives."""
