"""The adjustment of a trained expression network to rare emotions, without further training."""
