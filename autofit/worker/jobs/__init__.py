"""What a worker process can be asked to do: an attempt at a training, probe trials, a prediction."""
