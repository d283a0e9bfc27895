"""What a face looks like: skin, lips, irises, brows."""
