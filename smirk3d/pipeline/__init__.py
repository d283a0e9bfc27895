"""From photos to heads: reading, detection, fitting, batches."""
