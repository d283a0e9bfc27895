"""Training of the clip network: emotions of clips, with labels of which some are wrong."""
