"""Runs over more photos than one process can do: stores and archives as inputs, Parquet shards, Ray."""
