"""Boards: their drivers, SSH connections, locks, facts and health."""
