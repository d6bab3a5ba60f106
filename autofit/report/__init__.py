"""What a person sees of a probe and a run: while it goes on, and when it is over."""
