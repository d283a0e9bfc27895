"""Many photos at a time: planning, prefetching and writing."""
