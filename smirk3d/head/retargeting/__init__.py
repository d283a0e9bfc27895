"""Expressions carried from one head to another."""
