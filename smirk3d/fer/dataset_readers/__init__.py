"""Readers of data sets of labelled faces, one layout a file; nothing is downloaded."""
