"""Appearance of a face: skin, lips, irises, brows and hair, as colours, textures and procedural renderings."""
