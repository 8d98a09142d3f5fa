"""The pytest side of a session that has boards, one thought a module."""
