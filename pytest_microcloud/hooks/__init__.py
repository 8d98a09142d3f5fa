"""The hooks of a session that has boards, a thought a module."""
