"""Loss and metrics for images that may have any number of labels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from autofit.config.multi_label_figures import F1, MEAN_AVERAGE_PRECISION

BINS = 1024
LARGEST_LOGIT = 12.0
"""Scores are counted in bins of 0.023 of the logit, up to this logit (a probability of 1 - 1/160,000); beyond it all
count as equal."""
EPSILON = 1e-7


class LabelCrossentropy(keras.losses.Loss):
    """The binary cross-entropy of each label, in nats, which Keras averages over samples and labels."""

    def __init__(self) -> None:
        super().__init__(name="binary_crossentropy")

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """The loss of each label of each sample, `(n, labels)`."""
        return keras.ops.binary_crossentropy(y_true, y_pred)


class LabelScores(keras.metrics.Metric):
    """Mean average precision and F1 over all samples so far, computed from a histogram of scores for each label.

    The definitions are those of `config/multi_label_figures.py`; scores in the same bin count as equal.

    Args:
        labels: the number of labels.
    """

    def __init__(self, labels: int) -> None:
        super().__init__(name="label_scores")
        self._labels = labels
        self.with_label = self.add_variable((BINS, labels), "zeros", name="with_label")
        self.without_label = self.add_variable((BINS, labels), "zeros", name="without_label")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Any = None) -> None:
        """Count the scores of samples.

        Args:
            y_true: 0 or 1, `(n, labels)`.
            y_pred: probabilities, `(n, labels)`.
            sample_weight: not used.
        """
        del sample_weight
        probabilities = tf.clip_by_value(y_pred, EPSILON, 1 - EPSILON)
        logits = tf.math.log(probabilities) - tf.math.log1p(-probabilities)
        places = tf.floor((logits / LARGEST_LOGIT + 1) * (BINS / 2))
        bins = tf.cast(tf.clip_by_value(places, 0, BINS - 1), tf.int32)
        cells = tf.reshape(bins * self._labels + tf.range(self._labels), (-1,))
        has = tf.reshape(tf.cast(y_true, tf.float32), (-1,))
        for variable, counted in ((self.with_label, has), (self.without_label, 1 - has)):
            counts = tf.math.unsorted_segment_sum(counted, cells, BINS * self._labels)
            variable.assign(variable + tf.reshape(counts, (BINS, self._labels)))

    def result(self) -> dict[str, tf.Tensor]:
        """Both figures; 0 if there is nothing to judge."""
        there, absent = tf.convert_to_tensor(self.with_label.value), tf.convert_to_tensor(self.without_label.value)
        hits, alarms = tf.cumsum(there, axis=0, reverse=True), tf.cumsum(absent, axis=0, reverse=True)
        areas = tf.reduce_sum(there * tf.math.divide_no_nan(hits, hits + alarms), axis=0)
        judged = tf.cast((hits[0] > 0) & (alarms[0] > 0), tf.float32)
        precisions = tf.math.divide_no_nan(areas, hits[0])
        told, false = tf.reduce_sum(hits[BINS // 2]), tf.reduce_sum(alarms[BINS // 2])
        missed = tf.reduce_sum(hits[0]) - told
        return {
            MEAN_AVERAGE_PRECISION: tf.math.divide_no_nan(tf.reduce_sum(precisions * judged), tf.reduce_sum(judged)),
            F1: tf.math.divide_no_nan(2 * told, 2 * told + false + missed),
        }
