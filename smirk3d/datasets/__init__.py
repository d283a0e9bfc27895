"""Training data: shards, preparation, sampling, augmentation and pseudo-targets."""
