"""Reading of images, videos and audio."""
