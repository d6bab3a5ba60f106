"""From image files to batches of pixels, without TensorFlow.

decode.py           one image file -> 8-bit RGB of the size that is needed, within bounded memory
augment.py          views of an image, a function of seed, epoch and sample; distortion.py makes the strong ones
prediction_views.py the views of an image that are predicted together
views.py            which row of features belongs to which view of an image
epoch_order.py      the order in which an epoch visits the training images
batch_loader.py     decodes batches ahead of the training, in threads
resizable_pool.py   the threads; thread_autotune.py how many, by what wait_meter.py measures
loader_limit.py     whether that is what a pass waits for, in words
sample_reader.py    the pixels of samples, whole or augmented; pixel_cache.py those that are cached on disk
predecode.py        decodes the first images in predecode_process.py, while the worker imports TensorFlow
bad_images.py       the images that cannot be read, and when they are too many
aligned_array.py    arrays that TensorFlow reads without copying them
drive_patience.py   a drive that stutters or hangs: read again, and named; patient_call.py the same for any call
image_files.py      image files opened with care, refused by their headers
numeric_images.py   images of more than 8 bits; find_ranges.py which of their numbers are black and white
image_survey.py     all images looked at once; perceptual_hash.py what an image looks like, in 64 bits
image_sizes.py      the sizes of some of the images, for the opening lines
"""
