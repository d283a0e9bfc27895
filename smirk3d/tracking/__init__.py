"""Tracking of heads in videos: detection pass, data association, smoothing and gap filling."""
