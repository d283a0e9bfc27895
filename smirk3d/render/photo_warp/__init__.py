"""A photo's own pixels on the fitted mesh, moved with it."""
