"""The pytest side of a session with boards."""
