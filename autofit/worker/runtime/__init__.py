"""The worker process itself: TensorFlow's settings, memory, heartbeat, control pipe, when to stop."""
