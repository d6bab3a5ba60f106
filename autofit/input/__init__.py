"""From image files to batches of pixels: decoding, augmentation, loading ahead, the pixel cache. No TensorFlow."""
