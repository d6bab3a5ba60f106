"""A run from its plan to its result: what is trained how, the supervisor of its attempts, the retry policy."""
