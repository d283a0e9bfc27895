"""Training of the face autoencoder, with the loss on features of a frozen network or on pixels."""
