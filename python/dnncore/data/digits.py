"""The handwritten digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

from typing import Literal

import numpy as np

from dnncore import _core
from dnncore._core import Tensor
from dnncore._extras import require
from dnncore.data._resize import resized

_TEST_PART = 0.2
_SPLIT_SEED = 1998  # fixed: every run, here and elsewhere, is judged on the same images


def load_digits(size: Literal[8, 32] = 8, split: Literal["train", "test", "all"] = "train") -> tuple[Tensor, Tensor]:
    """Load scikit-learn's handwritten digits (1,797 images of 10 classes).

    The images are white ink on black, scaled to [0, 1]. The split is fixed and stratified: 1,437 training and 360 test images,
    the same in every run. Size 32 is the 8 x 8 image enlarged bilinearly, for networks that were drawn for that size.

    Parameters
    ----------
    size : {8, 32}, default 8
        Height and width of an image.
    split : {"train", "test", "all"}, default "train"
        Which part to return.

    Returns
    -------
    x : Tensor of shape (N, 1, size, size), float32
        The images.
    y : Tensor of shape (N,), int64
        The digits 0 to 9.

    Raises
    ------
    ValueError
        If `size` or `split` is not one of the values above.
    ImportError
        If scikit-learn is missing (extra ``course``).

    References
    ----------
    E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.

    Examples
    --------
    >>> from dnncore.data import load_digits
    >>> x, y = load_digits(size=8, split="test")
    >>> x.shape, y.shape
    ((360, 1, 8, 8), (360,))
    """
    if size not in (8, 32):
        raise ValueError(f"load_digits: expected size 8 or 32, got {size!r}")
    if split not in ("train", "test", "all"):
        raise ValueError(f"load_digits: expected split 'train', 'test' or 'all', got {split!r}")
    datasets = require("sklearn.datasets", "course", "load_digits")
    selection = require("sklearn.model_selection", "course", "load_digits")
    pixels, labels = datasets.load_digits(return_X_y=True)
    images = (pixels / 16.0).reshape(-1, 8, 8)
    if split != "all":
        parts = selection.train_test_split(
            np.arange(len(labels)), test_size=_TEST_PART, random_state=_SPLIT_SEED, stratify=labels
        )
        chosen = parts[split == "test"]
        images, labels = images[chosen], labels[chosen]
    if size == 32:
        images = resized(images, 32, 32)
    x = np.ascontiguousarray(images[:, None], dtype=np.float32)
    return _core.from_numpy(x), _core.tensor(labels.astype(np.int64), device="cpu")
