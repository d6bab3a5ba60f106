"""The training loop and what it writes: state, commits, events, audit log."""
