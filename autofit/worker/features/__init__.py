"""The features that a frozen backbone makes of images: extraction and the feature cache."""
