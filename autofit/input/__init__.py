"""From image files to batches of pixels, without TensorFlow.

decode.py           one image file -> 8-bit RGB of the requested size, within bounded memory
augment.py          views of an image, a function of seed, epoch and sample; distortion.py makes the strong ones
prediction_views.py the views of an image that are predicted together
views.py            which row of features belongs to which view of an image
epoch_order.py      the order in which an epoch visits the training images
batch_loader.py     decodes batches ahead of the training, in threads
resizable_pool.py   the threads; thread_autotune.py how many, by what wait_meter.py measures
loader_limit.py     tells whether a pass is limited by the loader, and what would help
sample_reader.py    the pixels of samples, whole or augmented; pixel_cache.py keeps them on disk
identified_files.py tells which files were changed after they were identified
predecode.py        decodes the first images in predecode_process.py, while the worker imports TensorFlow
bad_images.py       the images that cannot be read, and when they are too many
aligned_array.py    arrays that TensorFlow reads without copying them
drive_patience.py   reads images again where their drive fails or hangs; patient_call.py does so for any call
image_files.py      opens image files, and refuses by their headers those that cost too much to decode
numeric_images.py   images of more than 8 bits; find_ranges.py finds which of their values are black and white
image_survey.py     reads every image once for `check`; perceptual_hash.py describes an image in 64 bits
image_sizes.py      the sizes of some of the images, for the opening lines
"""
