"""Sends a Keras model that the user has built to a worker. Imports Keras only when it is used."""

from __future__ import annotations

import json
import warnings
from typing import Any

from autofit.config.given_objects import refuse_kept_from_decay
from autofit.errors import UserError
from autofit.printable import one_line
from autofit.storage.model_file import model_configuration
from autofit.storage.scratch import scratch_folder
from autofit.worker.model.registered_objects import not_registered


class SentModel:
    """A saved model with its weights, which can be called like a model function.

    Attributes:
        identity: a hash of its layers and of what it is compiled with; the values of its weights do not count. Reruns
            of the first versions recognized it by this hash.
    """

    def __init__(self, archive: bytes, identity: str, graph: str = "", configuration: str = "") -> None:
        self._archive, self.identity = archive, identity
        self._graph, self._configuration = graph, configuration

    @property
    def graph(self) -> str:
        """A hash as `identity`, and of how the layers are connected, by which a rerun recognizes the model."""
        return self._graph

    def uses(self, registered_name: str) -> bool:
        """Whether the model has an object that is registered with Keras under this name."""
        return json.dumps(registered_name) in self._configuration

    def __call__(self, shape: tuple[int, int, int], num_classes: int) -> Any:
        """Open the model; its shapes are checked later.

        Raises:
            UserError: one of the user's classes is not registered, or a layer holds a lambda.
        """
        del shape, num_classes
        import keras  # noqa: PLC0415 - the parent imports this module without Keras

        from autofit.worker.model.weights import first_sentence  # noqa: PLC0415 - imports Keras

        with scratch_folder("autofit-model-") as folder, warnings.catch_warnings():
            # of an optimizer that has not made an update yet, and so has no state to lose
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer", UserWarning)
            path = folder / "model.keras"
            path.write_bytes(self._archive)
            try:
                return keras.models.load_model(path)
            except (TypeError, ValueError) as error:
                raise not_registered(error) or UserError(
                    f"the model was saved to send it to the worker, and does not open there ({first_sentence(error)}): "
                    "give a function (input_shape, num_classes) that builds it, without Lambda layers of lambdas"
                ) from error


def sent(model: Any) -> SentModel:
    """Save a Keras model, in order to send it.

    Raises:
        UserError: it cannot be saved, or its optimizer has a setting that is not saved.
    """
    from autofit.worker.model.network_hash import (  # noqa: PLC0415 - imports Keras
        compiled_sha256,
        graph_sha256,
        network_sha256,
    )
    from autofit.worker.model.precision import inner_optimizer  # noqa: PLC0415 - imports Keras

    if model.compiled:
        refuse_kept_from_decay("the model's optimizer", inner_optimizer(model.optimizer))
    with scratch_folder("autofit-model-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = folder / "model.keras"
        try:
            model.save(path)
        except Exception as error:  # whatever a layer's own get_config raises
            raise UserError(
                f"the model cannot be saved to send it to the worker ({one_line(error)[:200]}): give a function "
                "(input_shape, num_classes) that builds it"
            ) from error
        compiled, configuration = compiled_sha256(model), json.dumps(model_configuration(path))
        return SentModel(
            path.read_bytes(), network_sha256(model) + compiled, graph_sha256(model) + compiled, configuration
        )
