"""Reenactment by a transformer that reads photos as a set of latents and answers what each pixel shows (FSRT)."""
