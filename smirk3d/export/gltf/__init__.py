"""glTF and GLB: heads, animations, and characters of others."""
