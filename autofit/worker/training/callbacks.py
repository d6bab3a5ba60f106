"""Keras callbacks in autofit's loop: the list of them, what they find in their model, their states in checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from autofit.printable import first_of
from autofit.protocol.callback_state import rate_setter
from autofit.protocol.messages import FINE_TUNING, StageName
from autofit.worker.execution.session import Session
from autofit.worker.model.fine_tuning import LayerwiseAdamW
from autofit.worker.model.keras_internals import forget_compilation
from autofit.worker.model.optimizer import rate_of
from autofit.worker.training.callback_kinds import acts_in_validation, overrides, restorer, watches_validation
from autofit.worker.training.callback_states import CallbackStates, csv_columns, open_csv_files
from autofit.worker.training.compiled_for_callbacks import compile_for_callbacks
from autofit.worker.training.monitored_figure import require_monitored
from autofit.worker.training.run_events import RunEvents
from autofit.worker.training.train_state import Arrays, TrainState
from autofit.worker.training.training_progress import TrainingProgress

LEARNING_RATE = "learning_rate"
SHOWN_LOST = 3


class Callbacks:
    """The callbacks of a training, called as `model.fit` calls them.

    Args:
        callbacks: the user's.
        session: whose model they act on.
        state: which of the model's variables may change.
        events: reports what becomes of the result.
        epochs: of the whole training.
        steps: of its first epoch.
        monitor: the figure by which epochs are compared.
        stage: of the training.

    Attributes:
        list: Keras's list of them, without those that rest in this stage.
        are_given: whether the user has given any.
        have_begun: whether they were told that the training begins.
        read_test_logs: whether one of them may read the metrics after a batch of a validation.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        session: Session,
        state: TrainState,
        events: RunEvents,
        epochs: int,
        steps: int,
        monitor: str = "auto",
        stage: StageName = "training",
    ) -> None:
        self._monitor = monitor
        if monitor != "auto":
            names = list(session.objective.results())
            require_monitored(monitor, [*names, *(f"val_{name}" for name in names)])
        model = session.built.model
        self.are_given, self.have_begun = bool(callbacks), False
        self._compiles = self.are_given and not session.built.compiled
        if self._compiles:
            compile_for_callbacks(model, session.objective)
        model.stop_training = False  # what a callback sets to end the training, as in model.fit
        model.optimizer = session.objective.optimizer  # where callbacks look for the learning rate
        self._model, self._state, self._events = model, state, events
        self._read_batch_logs = any(overrides(one, "on_train_batch_end", "on_batch_end") for one in callbacks)
        self.list = keras.callbacks.CallbackList(
            list(callbacks), add_history=True, model=model, epochs=epochs, steps=steps, verbose=0
        )
        self._all = list(self.list.callbacks)
        self._states = CallbackStates(self._all, model, state.changeable)
        self._stage: StageName = stage
        if isinstance(model.optimizer, LayerwiseAdamW):
            model.optimizer.on_rate_set = self._say_that_the_rate_stays
        self._rate_setters = [one for one in self._all if rate_setter(one)] if stage in FINE_TUNING else []
        self.list.callbacks = [one for one in self._all if one not in self._rate_setters]
        self._watchers = [one for one in self.list.callbacks if stage == "refit" and watches_validation(one)]
        self.list.callbacks = [one for one in self.list.callbacks if one not in self._watchers]
        self._act_in_validation = any(map(acts_in_validation, self.list.callbacks))
        self.read_test_logs = any(overrides(one, "on_test_batch_end") for one in self.list.callbacks)
        self._last_logs: dict[str, float] = {}
        self._surprised: list[Any] = []  # in a refit, by figures of a validation that are not there
        self._aside: list[Any] = []  # states of callbacks that are not given now
        self._aside_arrays: dict[str, Any] = {}

    @property
    def append_to_files(self) -> bool:
        """Whether one goes on with a file from before: what that had at the beginning belongs into a checkpoint."""
        return any(isinstance(one, keras.callbacks.CSVLogger) and one.append for one in self._all)

    @property
    def have_stopped_training(self) -> bool:
        """Whether a callback has asked to end the training."""
        return bool(self._model.stop_training)

    def before_validation(self, commit: Callable[[], None]) -> None:
        """Have the updates committed if one of the user's own acts in a validation.

        It may set other weights for it, such as averages, which are not to be in a checkpoint from its middle.
        """
        if self._act_in_validation:
            commit()

    def weights_in_validation(self) -> Arrays | None:
        """The weights of the model, where one of the user's own may have set them for a validation; else None."""
        return self._state.weights() if self._act_in_validation else None

    def begin(self, progress: TrainingProgress, *, begins_stage: bool) -> TrainingProgress:
        """Tell them that the training begins; returns the progress as `restore` does.

        Args:
            progress: with their states. At the beginning of a stage they have these first, as they would have them when
                `model.fit` is called a second time; inside one, what they do now is undone by `restore`.
            begins_stage: whether the attempt does.
        """
        if begins_stage:
            progress = self.restore(progress, have_begun=False)
            self._say_what_rests()
        overwriting = open_csv_files(self._all, progress.callbacks)
        columns = csv_columns(self._all) if begins_stage and progress.callbacks else []
        self.list.on_train_begin()
        for callback in overwriting:
            callback.append = False
        for callback, names in columns:
            callback.keys = names
        self._states.note_begin()
        self.have_begun = True
        return progress.moved(callbacks_ended=False)

    def train_batch_ended(self, step: int, logs: Mapping[str, Any]) -> None:
        """Tell them that a training step has ended, with the metrics if one of them may read these.

        Keras converts them to numbers before any callback is called, and that waits for the device.
        """
        self.list.on_train_batch_end(step, logs if self._read_batch_logs else None)

    def _say_what_rests(self) -> None:
        if self._rate_setters and self._stage == "fine-tune":
            words = "callbacks rest in fine-tuning, whose learning rate has a schedule of its own"
            self._events.message_once(f"{words}: {_names(self._rate_setters)}")
        if self._watchers:
            self._say_what_needs_validation(self._watchers)

    def _say_that_the_rate_stays(self) -> None:
        """Say that what a callback sets as the learning rate has no effect."""
        self._events.message_once(
            "a callback has set the learning rate, which stays as it is: in fine-tuning it has a schedule of its own. "
            "With trainable='all' callbacks can set it"
        )

    def _say_what_needs_validation(self, callbacks: Sequence[Any]) -> None:
        self._events.message_once(f"callbacks that need a validation rest in the refit: {_names(callbacks)}")

    def epoch_ended(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Tell them that an epoch has ended; in a refit those rest that need figures of a validation, and that is said.

        Most are written for a training that has them.
        """
        self._last_logs = self.logs(logs)
        self._tell("on_epoch_end", epoch, logs=self._last_logs)

    def _tell(self, hook: str, *place: int, logs: dict[str, float]) -> None:
        if self._stage != "refit":
            getattr(self.list, hook)(*place, logs)
            return
        everyone, self.list.callbacks = self.list.callbacks, []
        getattr(self.list, hook)(*place, logs)  # waits for what they do in other threads
        self.list.callbacks = everyone
        told = WithoutValidation(sorted(logs.items()))
        awake = [one for one in everyone if one not in self._surprised or hook == "on_train_end"]
        surprised = [one for one in awake if not _has_told(getattr(one, hook), *place, logs=told)]
        if surprised:
            self._surprised += surprised
            self._say_what_needs_validation(surprised)

    def logs(self, logs: Mapping[str, float]) -> dict[str, float]:
        """The metrics of an epoch, with the learning rate if there are callbacks: Keras's own put it there."""
        rate = rate_of(self._model.optimizer) if self.are_given else None
        return dict(logs) if rate is None else {**logs, LEARNING_RATE: rate}

    def history_logs(self, logs: Mapping[str, float], history: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of an epoch for the history, each column of which has a value for each epoch."""
        rate = self.logs(logs).get(LEARNING_RATE)
        if rate is None and LEARNING_RATE in history:  # resumed without callbacks
            rate = rate_of(self._model.optimizer)
        has_column = LEARNING_RATE in history or not history
        return {**logs, LEARNING_RATE: rate} if has_column and rate is not None else dict(logs)

    def states(self) -> list[Any]:
        """Their states, in their order; the arrays in these become part of the training's state.

        Raises:
            UserError: a state cannot be kept that `get_state()` gives.
        """
        states, arrays = self._states.states()
        self._state.callbacks = {**self._aside_arrays, **arrays}
        return [*self._aside, *states]

    def restore(self, progress: TrainingProgress, *, have_begun: bool = True) -> TrainingProgress:
        """Give each callback its state back, and say once in a run what of them is lost; returns the progress.

        Where no callbacks are given, the states of those from before are kept for a resume that has them again.
        """
        states = progress.callbacks
        if not self.are_given:
            self._aside, states = states[: -len(self._all)], states[-len(self._all) :]
            self._aside_arrays = dict(self._state.callbacks) if self._aside else {}
        lost = sorted(set(self._states.restore(states, self._state.callbacks, have_begun=have_begun)))
        if not lost or progress.callbacks_lost:
            return progress
        names = first_of(lost, SHOWN_LOST)
        self._events.result_changed(f"a restart loses {names} of the callbacks: give them get_state() and set_state()")
        return progress.moved(callbacks_lost=True, result_changed=True)

    def end(self, progress: TrainingProgress) -> TrainingProgress:
        """Tell them that the training has ended; weights that they set then are the model that is handed over.

        Not at the end of a refit that was cut short or of a fine-tuning that has diverged, nor what is restored in one
        that was no better than the head alone: the model from before is handed over.
        """
        before = self._state.weights() if self.are_given else {}
        self._tell("on_train_end", logs=self._last_logs or _last_of(progress))
        if not self.are_given:
            return progress
        ended, after = progress.moved(callbacks_ended=True), self._state.weights()
        restored = restorer(self.list.callbacks, self._model)
        is_changed = not all(np.array_equal(before[name], array, equal_nan=True) for name, array in after.items())
        if restored is not None or is_changed:
            self._state.show(before)  # more epochs go on from the last one
        if progress.stage == "refit" and not progress.stages[-1].refitted:
            return ended
        if restored is None and progress.stages and progress.stages[-1].diverged:
            return ended
        if restored is not None and progress.stage == "fine-tune" and (progress.best_epoch or 0) < progress.first_epoch:
            return ended
        if restored is not None or is_changed:
            self._state.best = after
        if restored is not None:
            return self._with_best(ended, restored.best_epoch)
        if is_changed:
            self._state.probabilities = None
            self._events.message("a callback has set other weights at the end: these are saved; the figures are older")
        return ended

    def _with_best(self, progress: TrainingProgress, epoch: int) -> TrainingProgress:
        """The progress with another best epoch; what its validation predicted is not known any more.

        The epochs of a refit have no validation: the best stays one of those before.
        """
        if epoch == progress.best_epoch or progress.stage == "refit":
            return progress
        self._state.probabilities = None
        watched = ("val_loss", "loss") if self._monitor == "auto" else (self._monitor,)
        value = _of_epoch(progress, epoch, watched)
        accuracy = _of_epoch(progress, epoch, ("val_accuracy", "accuracy"))
        known = progress.best_value if value is None else value
        return progress.moved(best_epoch=epoch, best_value=known, best_accuracy=accuracy, best_predicted=[])

    def detach(self) -> None:
        """Take from the model what it was compiled with for the callbacks."""
        if self._compiles:
            forget_compilation(self._model)


class WithoutValidation(dict[str, float]):
    """The metrics of an epoch without a validation.

    Attributes:
        is_missed: whether somebody asked for a figure of one.
    """

    is_missed = False

    def get(self, name: str, default: Any = None) -> Any:
        """The metric, or the default."""
        self._note(name)
        return super().get(name, default)

    def __missing__(self, name: str) -> float:
        self._note(name)
        raise KeyError(name)

    def _note(self, name: str) -> None:
        self.is_missed = self.is_missed or (name not in self and str(name).startswith("val_"))


def _has_told(hook: Callable[..., None], *place: int, logs: WithoutValidation) -> bool:
    """Tell one callback that an epoch or the whole of a refit has ended; False if it needs figures of a validation.

    They are then missing (`logs["val_loss"]`, or a name for a file), or None (`logs.get("val_loss") < 0.1`).
    """
    logs.is_missed = False
    try:
        hook(*place, logs)
    except (KeyError, TypeError, AttributeError) as error:
        if not logs.is_missed and not (isinstance(error, KeyError) and "val_" in str(error)):
            raise
        return False
    return True


def _last_of(progress: TrainingProgress) -> dict[str, float]:
    """The metrics of the last epoch, where another attempt has trained it: as `_last_logs` has them."""
    if progress.stage == "refit":
        return {"loss": progress.refit_losses[-1]} if progress.refit_losses else {}
    return {name: values[-1] for name, values in progress.history.items() if values}


def _of_epoch(progress: TrainingProgress, epoch: int, names: Sequence[str]) -> float | None:
    """The first of these metrics that the history has, in an epoch; None if it has none."""
    column = next((progress.history[name] for name in names if progress.history.get(name)), [])
    return column[epoch] if epoch < len(column) else None


def _names(callbacks: Sequence[Any]) -> str:
    return first_of([type(one).__name__ for one in callbacks], SHOWN_LOST)
