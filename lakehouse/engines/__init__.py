"""The engines beneath a session, and what ends a run on them: time, memory, a machine in trouble."""
