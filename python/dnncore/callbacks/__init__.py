"""What `Model.fit` calls as it goes: stopping, saving, schedules, logs. The names are Keras's."""

from dnncore.callbacks.base import Callback, LambdaCallback, TerminateOnNaN
from dnncore.callbacks.files import CSVLogger, ModelCheckpoint
from dnncore.callbacks.monitors import EarlyStopping, ReduceLROnPlateau
from dnncore.callbacks.schedules import LearningRateScheduler

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
