"""The key of features of a user's own network, which no name stands for."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from keras import layers

from autofit.config.options import make_options
from autofit.protocol.cache_job import CacheJob
from autofit.protocol.job import Job, TrainJob
from autofit.protocol.messages import MemoryBudget
from autofit.runs.model_source import model_source
from autofit.worker.features.feature_cache import features_entry_record
from tests.support.records import make_plan

pytestmark = pytest.mark.slow  # imports TensorFlow


@keras.saving.register_keras_serializable("autofit_tests_of_own_features")
class Scales(layers.Layer):  # type: ignore[misc]  # Keras is not typed
    """A user's layer, whose code decides what the features are."""

    def call(self, inputs: Any) -> Any:
        """Half of the inputs."""
        return inputs / 2


def network(*first: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 3)), *first, layers.GlobalAveragePooling2D()])


def key(own: keras.Model, code: str = "") -> str:
    cache = CacheJob(folder="/", limit_bytes=1, by="stat", code=code)
    job = Job(
        attempt=1,
        isolated=True,
        import_paths=[],
        memory=MemoryBudget(device="cpu", limit_bytes=10**9, is_given=False, buffer_bytes=10**6),
        source=model_source(make_options(model="json:loads", trainable="head"), 3),
        work=TrainJob(
            run_dir="/",
            plan=make_plan(),
            micro_batch_size=1,
            cache=cache,
            data_root="/",
            class_names=["a", "b", "c"],
            launched_at=0.0,
        ),
    )
    return features_entry_record(job, "0" * 64, (3,), 1, own=own).key


def test_features_of_networks_with_the_same_weights_are_told_apart_by_their_layers() -> None:
    """A network with another rescaling would be given the features of the one before."""
    plain = key(network(layers.Rescaling(1 / 255)))
    assert plain == key(network(layers.Rescaling(1 / 255)), code="edited")  # Keras's layers are known by their settings
    assert plain != key(network(layers.Rescaling(1 / 127.5, -1)))


def test_features_of_a_users_own_layers_are_told_apart_by_their_code() -> None:
    """After an edit of the layer, features of before would be used."""
    assert key(network(Scales()), code="one") == key(network(Scales()), code="one")
    assert key(network(Scales()), code="one") != key(network(Scales()), code="edited")
