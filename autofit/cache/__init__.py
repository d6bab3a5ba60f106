"""What was computed of images once, kept on disk, and used again: by the next epoch, and by the next run.

`identity` tells one image from another, `entry` is one file of rows and its index, `store` the folder of all entries.
Nothing in here knows TensorFlow: a row is bytes of one shape.
"""
