"""How good networks are: measures on photos with known landmarks, and on rendered heads whose truth is known."""
