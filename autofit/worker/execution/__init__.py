"""A network made ready to run: session, steps, micro-batches."""
