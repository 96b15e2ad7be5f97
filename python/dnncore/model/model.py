"""Model: compile, fit, evaluate and predict around a module."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore._grad_mode import enable_grad
from dnncore.callbacks import Callback
from dnncore.model import _device, _settings
from dnncore.model._arrays import Casts, as_tensor, called, dtype_of, is_array, joined, on_cpu, tensors_of, whole
from dnncore.model._compiled import Compiled, evaluating, modes_kept
from dnncore.model._feed import Arrays, Reader, Samples, Stream, feed
from dnncore.model._loop import evaluated
from dnncore.model._objective import Objective
from dnncore.model._pieces import Pieces
from dnncore.model._progress import resolved
from dnncore.model._step import Clip, QuietStep
from dnncore.model._training import Training
from dnncore.model.history import History
from dnncore.model.seeing import Seeing
from dnncore.nn.module import Module
from dnncore.optim.optimizer import Optimizer


class Model(Seeing):
    """A module with its training: `compile`, `fit`, `evaluate`, `predict`, as in Keras.

    Parameters
    ----------
    module : Module
        The network. One input is passed as its argument, a tuple as several, a dict by keyword; it returns a tensor, or a tuple
        or dict of them.
    device : str or device, optional
        Where it works: "cpu", "cuda", "cuda:1", or "auto", which `fit` decides by timing a step on each; the module is moved
        there. When not given, where the module is. Data stay where they are: each batch is moved by itself.

    Attributes
    ----------
    module : Module
        The network, trained in place.
    optimizer : Optimizer
        What `compile` settled.
    history : History or None
        The record of the last `fit`, also after an error.
    notes : dict
        What JSON can hold, of your own: names of classes, how inputs are scaled. `save` writes it, `load` brings it back.
    stop_training : bool
        A callback sets it to end training after the batch.

    Notes
    -----
    Data may be arrays of NumPy, tensors, arrays of other libraries through DLPack, lists of numbers, tables of pandas; a
    `dnncore.data.TensorDataset` or any data set; a `DataLoader` or an iterator of batches ``(x, y)`` or
    ``(x, y, sample_weight)``. Floating inputs are cast once to the dtype of the network, with a notice; whole numbers as targets
    are classes for the losses that take classes. Steps that repeat are captured, see `dnncore.capture`, with the same bits.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> _ = dnn.manual_seed(0)
    >>> x = dnn.randn(200, 2)
    >>> y = (x[:, 0] > x[:, 1]).long()
    >>> model = dnn.Model(nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2)))
    >>> model.compile("adam", "cross_entropy")
    >>> history = model.fit(x, y, epochs=20, validation_split=0.2, verbose=0)
    >>> history.history["val_loss"][-1] < history.history["val_loss"][0]
    True
    >>> model.predict(x).shape
    (200, 2)
    """

    def __init__(self, module: Module, device: Any = None) -> None:
        if not isinstance(module, Module):
            got = f"the class {module.__name__}; write {module.__name__}()" if isinstance(module, type) else _kind(module)
            raise TypeError(f"Model: expected a module of dnncore.nn, got {got}")
        self._module = module
        self.history: History | None = None
        self.notes: dict[str, Any] = {}
        self.stop_training = False
        self._compiled: Compiled | None = None
        self._settings: dict[str, Any] = {}
        self._epochs_done = 0
        self._casts_integers = False
        self._forward: dict[Any, QuietStep] = {}
        self._device_asked: Any = None
        if device is not None:
            self.to(device)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_forward": {}}

    @property
    def module(self) -> Module:
        """The network; another one is another model."""
        return self._module

    # --- Device

    @property
    def device(self) -> _core.device:
        """Where the module is, and so where batches are worked on."""
        return _device.device_of(self.module)

    def to(self, device: Any) -> Model:
        """Move the module, and with it the state of the optimizer, to a device; return the model.

        Parameters
        ----------
        device : str or device
            "cpu", "cuda", "cuda:1", or "auto", which the next `fit` decides.

        Raises
        ------
        ValueError, TypeError
            If there is no such kind of device.
        RuntimeError
            If the device cannot be used; the message says why.
        """
        chosen = _device.checked("Model.to", device)
        self._device_asked = "auto" if chosen is None else None
        if chosen is not None:
            self._move(chosen)
        return self

    def _move(self, device: _core.device) -> None:
        if any(value.device != device for value in (*self.module.parameters(), *self.module.buffers())):
            self.module.to(device)
            self._forward = {}
        if self._compiled is not None:
            self._compiled.follow(device)

    # --- Settings

    def compile(
        self,
        optimizer: Optimizer | str = "adam",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        """Settle how to train; a second call starts anew, with a new optimizer if it is a name.

        Parameters
        ----------
        optimizer : Optimizer or str, default "adam"
            An optimizer of the module's parameters, or the name of a class of `dnncore.optim` in lower case.
        loss : str, Module or callable, or a tuple or dict of them
            A name ("cross_entropy", "bce_with_logits", "bce", "nll", "mse", "l1", "smooth_l1", "huber", "poisson_nll",
            "soft_margin", "multi_margin"), a module of `dnncore.nn`, or a function of (output, target) that returns a 0-d
            tensor. For several outputs a tuple or a dict, as the network returns them.
        metrics : list, or a tuple or dict of lists per output, optional
            Names or objects of `dnncore.metrics`, scorers of scikit-learn, or functions of (output, target).
        loss_weights : tuple or dict of float, optional
            Factors of the losses of several outputs; 1 when not given.
        clip_norm : float, optional
            Largest norm of all gradients together; larger ones are scaled down.
        clip_value : float, optional
            Largest size of an entry of a gradient.

        Raises
        ------
        ValueError, TypeError
            If a name is unknown, the optimizer belongs to other parameters, or the numbers of outputs differ.
        """
        if loss is None:
            raise TypeError("compile: expected a loss, such as 'cross_entropy' or 'mse'")
        for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if limit is not None and not limit > 0:
                raise ValueError(f"compile: expected {name} above 0, got {limit}")
        objective = Objective(loss, loss_weights, metrics)
        self._compiled = Compiled(self.module, optimizer, objective, Clip(clip_norm, clip_value))
        self._settings = {
            "optimizer": optimizer,
            "loss": loss,
            "metrics": metrics,
            "loss_weights": loss_weights,
            "clip_norm": clip_norm,
            "clip_value": clip_value,
        }

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; of a name, once the parameters have their shapes."""
        compiled = self._ready("optimizer")
        if compiled.optimizer is None:
            raise RuntimeError("optimizer: the parameters have no shapes yet; run the module once on an input, or call fit")
        return compiled.optimizer

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics by their names in the history; empty before the first batch."""
        return {each.key: each.metric for each in self._compiled.watched} if self._compiled is not None else {}

    def _ready(self, op: str) -> Compiled:
        if self._compiled is None:
            raise RuntimeError(f"{op}: call compile(optimizer, loss) first")
        self._compiled.follow(self.device)
        return self._compiled

    def _lower_is_better(self, name: str) -> bool | None:
        return self._ready("fit").lower_is_better(name)

    # --- Data

    def _reader(self, op: str, objective: Objective | None, say: Callable[[str], object]) -> Reader:
        return Reader(op, Casts(op, self.module, self._casts_integers, say), objective, dtype_of(self.module))

    def _first(self, source: Arrays | Stream | Pieces, read: Reader, run: Callable[[Samples], Any]) -> tuple[Samples, Any]:
        """Return the first batch and what `run` makes of it; whole numbers the network does not take are cast from then on."""
        first = source.first()
        try:
            return first, run(first)
        except TypeError:
            if self._casts_integers or all(x.is_floating_point() for x in tensors_of(first.inputs)):
                raise
        read.cast_integers()
        source.change(read.recast)
        first = source.first()
        found = run(first)
        self._casts_integers = True
        return first, found

    def _settled(
        self, source: Arrays | Stream | Pieces, read: Reader, run: Callable[[Samples], list[Tensor]] | None = None
    ) -> tuple[Samples, list[Tensor]]:
        compiled = self._ready("fit")
        first, outputs = self._first(source, read, run or compiled.outputs_of)
        compiled.settle(outputs, first.targets)
        return first, outputs

    # --- Training

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        *,
        validation_data: Any = None,
        validation_split: float = 0.0,
        split: Literal["shuffled", "last"] = "shuffled",
        callbacks: Callback | Sequence[Callback] | None = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        truncate: int | None = None,
        restore_best_weights: bool = True,
        train_loss_eval: bool = False,
        verbose: Literal["auto", 0, 1, 2] = "auto",
        device: Any = None,
    ) -> History:
        """Train for epochs `initial_epoch` to `epochs` - 1.

        Parameters
        ----------
        x, y : arrays, or x a data set, loader or iterator and y None
            See the notes of the class. Nothing is changed.
        epochs : int, default 1
            The epoch to end before; so with `initial_epoch` fewer are done.
        batch_size : int, default 32
            Samples per step, where the data does not come in batches; the last batch of an epoch has what is left.
        validation_data : (x, y) or (x, y, sample_weight), or a data set or loader, optional
            Evaluated after each epoch.
        validation_split : float, default 0
            The share of the samples that is held out for validation.
        split : {"shuffled", "last"}, default "shuffled"
            Which samples are held out: random ones, of classes the same share each, always the same for a seed; or the last
            ones, for series.
        callbacks : Callback or list of Callback, optional
        shuffle : bool, default True
            Whether arrays and data sets are walked through in a new order in each epoch.
        class_weight : dict of int to float or "balanced", optional
            A factor per class, 1 for those not named; "balanced" is ``N / (classes * count)``. It does not act on validation.
        sample_weight : array of shape (N,) or (N, T), optional
            A factor per sample, or per step of sequences, in the loss and in the metrics; ``F.sequence_mask(lengths)`` leaves
            padding out. Targets of weight 0 must be numbers too: 0 x nan is nan.
        initial_epoch : int, default 0
            The number of the first epoch: ``fit(epochs=2)`` and then ``fit(epochs=4, initial_epoch=2)`` is ``fit(epochs=4)``.
        steps_per_epoch : int, optional
            Batches per epoch, for data that comes in batches; needed for an iterator and several epochs.
        truncate : int, optional
            Truncated back-propagation through time: each batch of sequences (N, T, ...) with targets (N, T, ...) is walked
            through in pieces of so many steps, with an update for each, and the network goes on from the state it was in; see
            `dnncore.models.SequenceNetwork`. Validation sees whole sequences.
        restore_best_weights : bool, default True
            Whether the weights of the best epoch come back when there is validation, or a callback with a monitor, which then
            says what is best.
        train_loss_eval : bool, default False
            Whether to evaluate the training data too after each epoch, as ``train_loss_eval``; ``loss`` is a mean over the
            epoch, with dropout on and changing weights.
        verbose : {"auto", 0, 1, 2}, default "auto"
            A bar in terminals and notebooks and lines elsewhere (also 1), nothing (0), or a line per epoch (2).
        device : {"cpu", "cuda", "cuda:1", "auto"} or device, optional
            Where to train, as `to`; the model stays there. With "auto" a step of the first batch is timed on the CPU and on the
            GPU, and the faster one taken; the notice says why, and so does ``history.params["device_reason"]``.

        Returns
        -------
        History
            Its ``stopped_by`` is "user" after Ctrl-C, which ends training after the batch; a second Ctrl-C raises.

        Raises
        ------
        ValueError, TypeError
            If data, targets, loss or metrics do not fit each other.
        RuntimeError
            If `compile` was not called, or the device cannot be used.

        Notes
        -----
        With weights the loss of a batch is ``sum(w l) / sum(w)``, the convention of ``CrossEntropyLoss(weight=...)``. Orders of
        samples follow from the seed of `dnncore.manual_seed` and the number of epochs done, not from other random numbers.
        """
        compiled = self._ready("fit")
        if device is not None:
            _device.checked("fit", device)
            self.to(device)
        verbosity = resolved("fit", verbose)
        epochs, initial_epoch = whole("fit", "epochs", epochs, 0), whole("fit", "initial_epoch", initial_epoch, 0)
        batch_size = whole("fit", "batch_size", batch_size, 1)
        if steps_per_epoch is not None:
            steps_per_epoch = whole("fit", "steps_per_epoch", steps_per_epoch, 1)
        if truncate is not None:
            truncate = whole("fit", "truncate", truncate, 1)
        say = _speaker(verbosity)
        read = self._reader("fit", compiled.objective, say)
        source = feed("fit", x, y, sample_weight, read, batch_size=batch_size, shuffle=shuffle, steps=steps_per_epoch)
        training = Training(self, compiled, source, say)
        if validation_split:
            training.hold_out(validation_split, split, validation_data)
        elif validation_data is not None:
            training.validate_with(self._validation(validation_data, compiled, batch_size))
        if truncate is not None:
            training.truncate(truncate)
        first, outputs = self._settled(training.train, read, training.outputs_of)
        placed = self._placed(compiled, first, device, say)
        if training.validation is not None and self._casts_integers:
            training.validation.change(read.recast)
        training.weigh_classes(class_weight, outputs, first)
        training.examine(first)
        training.try_validation()
        self.stop_training = False
        with modes_kept(self.module), enable_grad():
            return training.run(
                epochs=epochs,
                initial_epoch=initial_epoch,
                batch_size=batch_size,
                callbacks=callbacks,
                restore_best_weights=restore_best_weights,
                train_loss_eval=train_loss_eval,
                verbosity=verbosity,
                placed=placed,
            )

    def _placed(self, compiled: Compiled, first: Samples, asked: Any, say: Callable[[str], object]) -> dict[str, str]:
        """Decide for a device where that was left open; return what the history says of it."""
        if self._device_asked is None:
            return {} if asked is None and self.device.type == "cpu" else {"device": str(self.device)}
        chosen, reason = _device.fastest(compiled, first)
        self._device_asked = None
        self._move(chosen)
        say(f"fit: device 'auto' is {chosen}: {reason}")
        return {"device": str(chosen), "device_reason": reason}

    def _validation(self, data: Any, compiled: Compiled, batch_size: int) -> Arrays | Stream:
        op = "fit, validation_data"
        read = self._reader(op, compiled.objective, _silent)
        if isinstance(data, tuple):
            if len(data) not in (2, 3):
                raise ValueError(f"fit: expected validation_data to be (x, y) or (x, y, sample_weight), got {len(data)} items")
            return feed(op, data[0], data[1], data[2] if len(data) == 3 else None, read, batch_size=batch_size)
        if is_array(data) and not (isinstance(data, list) and data and isinstance(data[0], tuple)):
            raise TypeError(f"fit: expected validation_data to be a tuple (x, y) or (x, y, sample_weight), got {_kind(data)}")
        found = feed(op, data, None, None, read, batch_size=batch_size)
        if not found.repeatable:
            raise ValueError("fit: expected validation_data that can be walked through in each epoch, got an iterator")
        return found

    def train_on_batch(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Take one training step; return the loss and the metrics of the batch by name.

        Parameters
        ----------
        x, y, sample_weight : arrays
            The batch, as for `fit`.
        """
        compiled, samples = self._one("train_on_batch", x, y, sample_weight)
        watched = compiled.watched
        compiled.reset(watched)
        with modes_kept(self.module), enable_grad():
            self.module.train()
            compiled.train(samples.as_batch())
        return compiled.values(watched)

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Return the loss and the metrics of one batch by name, in evaluation mode.

        Parameters
        ----------
        x, y, sample_weight : arrays
            The batch, as for `evaluate`.
        """
        compiled, samples = self._one("test_on_batch", x, y, sample_weight)
        return evaluated(compiled, Arrays(samples, samples.rows), compiled.watched)

    def _one(self, op: str, x: Any, y: Any, sample_weight: Any) -> tuple[Compiled, Samples]:
        compiled = self._ready(op)
        read = self._reader(op, compiled.objective, _silent)
        samples = read(x, y, sample_weight)
        if not compiled.is_settled:
            samples, _ = self._settled(Arrays(samples, samples.rows), read)
        return compiled, samples

    # --- Use

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 256,
        *,
        sample_weight: Any = None,
        metrics: Any = None,
        verbose: Literal["auto", 0, 1, 2] = 0,
    ) -> dict[str, Any]:
        """Return the loss and the metrics of data, in evaluation mode and without gradients.

        Parameters
        ----------
        x, y : arrays, or x a data set, loader or iterator and y None
            As for `fit`.
        batch_size : int, default 256
            Samples at a time, where the data does not come in batches.
        sample_weight : array of shape (N,) or (N, T), optional
            A factor per sample, or per step of sequences, in the loss and in the metrics; ``F.sequence_mask(lengths)`` leaves
            padding out.
        metrics : optional
            In place of those of `compile`, in the same form.
        verbose : {"auto", 0, 1, 2}, default 0
            Whether to show the values and notices; not if 0.

        Returns
        -------
        dict
            Values by name, such as ``{"loss": 0.1, "accuracy": 0.97}``.

        Raises
        ------
        ValueError, TypeError
            If data, targets, loss or metrics do not fit each other.
        RuntimeError
            If `compile` was not called.
        """
        compiled = self._ready("evaluate")
        say = _speaker(resolved("evaluate", verbose))
        read = self._reader("evaluate", compiled.objective, say)
        source = feed("evaluate", x, y, sample_weight, read, batch_size=batch_size)
        first, outputs = self._settled(source, read)
        if metrics is None:
            found = evaluated(compiled, source, compiled.watched)
        else:
            watched = compiled.resolved(compiled.objective.metrics_per_output(metrics), outputs, first.targets)
            found = evaluated(compiled, source, watched)
            compiled.forget(watched)
        say("evaluate: " + "  ".join(f"{name} {value:.4g}" for name, value in found.items() if isinstance(value, float)))
        return found

    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """Return what the network makes of data, in evaluation mode and without gradients.

        Parameters
        ----------
        x : arrays, or a data set, loader or iterator
            As for `fit`; of batches with targets only the inputs are used.
        batch_size : int, default 256
            Samples at a time, where the data does not come in batches. No more samples than that are one native call.

        Returns
        -------
        Tensor, or a tuple or dict of them
            As the module returns, on the CPU, with all samples along the first dimension; ``.numpy()`` shares the memory. For a
            classifier these are logits: ``.argmax(1)`` gives classes, ``.softmax(1)`` probabilities.

        Raises
        ------
        ValueError, TypeError
            If the data does not fit the network.
        """
        if isinstance(x, np.ndarray) and x.dtype == np.float32:
            x = as_tensor("predict", "x", x)
        if type(x) is Tensor and x.ndim > 0 and 0 < x.shape[0] <= batch_size and x.dtype == dtype_of(self.module):
            with evaluating(self.module):  # the short way
                return self._outputs(None, x.detach().contiguous())
        read = self._reader("predict", None, _silent)
        source = feed("predict", x, None, None, read, batch_size=batch_size)
        with evaluating(self.module):
            if isinstance(source, Arrays) and source.steps == 1:
                return self._first(source, read, self._predicted)[1]
            self._first(source, read, self._predicted)
            return joined(self._outputs(batch.form.nest, *batch.tensors) for batch in source.batches())

    def _predicted(self, samples: Samples) -> Any:
        form, tensors = samples.as_batch()
        return self._outputs(form.nest, *tensors)

    def _outputs(self, nest: Any, *inputs: Tensor) -> Any:
        step = self._forward.get(nest)
        if step is None:
            module = self.module

            def forward(*tensors: Tensor) -> Any:
                return called(module, nest, tensors)

            step = self._forward[nest] = QuietStep(forward)
        device = self.device
        outputs = step(*(x.to(device) for x in inputs))
        return outputs if device.type == "cpu" else on_cpu(outputs)

    def summary(self, input_shape: Any = None) -> Any:
        """Return shapes, parameters and costs of the layers, as text and in notebooks as a table.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Shape of one sample, without the number of samples; for several inputs a list of shapes. One sample of zeros is run.
        """
        from dnncore.model.summary import summarize

        return summarize(self.module, input_shape=input_shape)

    # --- Files

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the module, what `compile` was given, the last history and the notes to a folder, complete or not at all.

        The state of the optimizer is not written. A loss or a metric that is no name, and no loss of `dnncore.nn` with plain
        settings, cannot be written either: `compile` after loading.

        Parameters
        ----------
        folder : path-like
            Made if it is missing; the folder above must exist.

        Raises
        ------
        ValueError
            If the module is not of layers that can be described.
        OSError
            If it cannot be written; what was there stands.
        """
        from dnncore.model import archive

        archive.write(folder, self.module, _settings.packed(self))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: Any = None) -> Model:
        """Return the model that `save` wrote, compiled if all of its settings could be written.

        Parameters
        ----------
        folder : path-like
        device : str or device, optional
            Where it will work, as in the class; the CPU when not given, wherever it was trained.

        Raises
        ------
        ValueError, OSError
            If the folder is damaged or no model.
        """
        from dnncore.model import archive

        module, extra = archive.read(folder)
        model = cls(module)
        _settings.unpack(model, extra)
        return model if device is None else model.to(device)

    def __repr__(self) -> str:
        state = "" if self._compiled is not None else ", not compiled"
        inner = repr(self.module).replace("\n", "\n  ")
        return f"Model(\n  {inner}{state}\n)"


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _silent(text: str) -> None:
    """Say nothing."""


def _speaker(verbosity: int) -> Callable[[str], object]:
    return (lambda text: print(text, file=sys.stderr, flush=True)) if verbosity else _silent
