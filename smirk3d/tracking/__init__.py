"""Video: faces followed through the frames, smoothed and completed."""
