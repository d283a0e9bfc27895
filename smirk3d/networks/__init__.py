"""Networks: convolutional backbones, the encoder of photos, the neural renderer, and their files."""
