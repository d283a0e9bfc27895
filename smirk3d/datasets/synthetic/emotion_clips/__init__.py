"""Synthetic clips of people who show emotions, with ground truth and planted faults of labels."""
