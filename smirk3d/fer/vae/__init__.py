"""A variational autoencoder of faces: reconstruction, sampling, interpolation, and edits along attribute vectors."""
