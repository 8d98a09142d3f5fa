"""Boards: where they come from, how they are reached, what they are."""
