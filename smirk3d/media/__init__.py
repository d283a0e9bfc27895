"""Reading images, videos and sound."""
