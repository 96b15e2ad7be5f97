"""Tables of vectors for ids: words, characters, categories."""

from __future__ import annotations

from typing import Any

from dnncore import _core
from dnncore._checks import check_tensors, checked_size
from dnncore._core import Tensor
from dnncore._grad_mode import no_grad
from dnncore.nn import _functional_embedding as F
from dnncore.nn import functional, init
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter


class _Table(Module):
    """The parameter and the settings that both layers have."""

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Tensor | None,
        freeze: bool,
        device: Any,
        dtype: _core.dtype | None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        F.refuse_sparse(layer, sparse)
        F.check_settings(layer, max_norm, norm_type, scale_grad_by_freq)
        self.num_embeddings = checked_size(layer, "num_embeddings", num_embeddings)
        self.embedding_dim = checked_size(layer, "embedding_dim", embedding_dim)
        self.padding_idx = None if padding_idx is None else F.padding_row(layer, padding_idx, num_embeddings)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        shape = (num_embeddings, embedding_dim)
        if weight is None:
            table = _core.empty(shape, device=device, dtype=_core.float32 if dtype is None else dtype)
            self.weight = Parameter(table, requires_grad=not freeze)
            self.reset_parameters()
        else:
            check_tensors(layer, _weight=weight)
            if tuple(weight.shape) != shape:
                raise ValueError(f"{layer}: expected _weight of shape {shape}, got {tuple(weight.shape)}")
            self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Draw new initial values from N(0, 1); the row of padding is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)

    def extra_repr(self) -> str:
        """Return the sizes and the settings that are not the defaults."""
        defaults = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False}
        others = [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join([str(self.num_embeddings), str(self.embedding_dim), *others])


def _sizes(layer: str, embeddings: Tensor) -> dict[str, int]:
    check_tensors(layer, embeddings=embeddings)
    if embeddings.ndim != 2:
        raise ValueError(f"{layer}.from_pretrained: expected a table of shape (V, D), got {tuple(embeddings.shape)}")
    return {"num_embeddings": embeddings.shape[0], "embedding_dim": embeddings.shape[1]}


class Embedding(_Table):
    r"""A vector for every id: row ``input[...]`` of a table that is learnt.

    The table is drawn from N(0, 1), as in PyTorch. Its gradient is dense, but only the rows that ids name are summed.

    Parameters
    ----------
    num_embeddings : int
        Size V of the vocabulary.
    embedding_dim : int
        Size D of a vector.
    padding_idx : int, optional
        A row that is 0 at first and gets no gradient; negative numbers count from the end.
    max_norm : float, optional
        Rows that ids name are scaled down to this norm where theirs is larger, in the table itself.
    norm_type : float, default 2
        Which norm.
    scale_grad_by_freq : bool, default False
        Divide the gradient of a row by the number of its ids in the batch.
    sparse : bool, default False
        Only False: gradients are dense.
    device : device, optional
        Where the table is; only the CPU.
    dtype : dtype, optional
        Of the table; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (num_embeddings, embedding_dim)

    Raises
    ------
    IndexError
        By a call, if an id is outside [0, V): the message has the id, its position and V.

    References
    ----------
    Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin: A Neural Probabilistic Language Model, JMLR 3 (2003).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.Embedding(1000, 64)(dnn.tensor([[1, 2, 3], [4, 5, 0]])).shape
    (2, 3, 64)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: _core.dtype | None = None,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            weight=_weight,
            freeze=_freeze,
            device=device,
            dtype=dtype,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """Return a layer with a given table, which is not copied.

        Parameters
        ----------
        embeddings : Tensor of shape (V, D)
        freeze : bool, default True
            The table is not trained.
        padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
            As of the layer; the row of padding stays as it is.

        Examples
        --------
        >>> import dnncore as dnn
        >>> from dnncore import nn
        >>> nn.Embedding.from_pretrained(dnn.tensor([[1.0, 2.0], [3.0, 4.0]]))(dnn.tensor(1)).tolist()
        [3.0, 4.0]
        """
        settings: dict[str, Any] = {**_sizes(cls.__name__, embeddings), "_weight": embeddings, "_freeze": freeze}
        return cls(
            **settings,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Map ids of any shape to (..., embedding_dim)."""
        return functional.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )


class EmbeddingBag(_Table):
    r"""The sum, mean or maximum of the vectors of each bag of ids, without the vectors in between.

    Parameters
    ----------
    num_embeddings : int
        Size V of the vocabulary.
    embedding_dim : int
        Size D of a vector.
    max_norm, norm_type, scale_grad_by_freq
        As of `Embedding`.
    mode : {"mean", "sum", "max"}, default "mean"
    sparse : bool, default False
        Only False: gradients are dense.
    include_last_offset : bool, default False
        `offsets` of a call has one entry more, the number of ids.
    padding_idx : int, optional
        An id that counts nowhere; its row is 0 at first and gets no gradient.
    device : device, optional
        Where the table is; only the CPU.
    dtype : dtype, optional
        Of the table; float32 when not given.

    Attributes
    ----------
    weight : Parameter of shape (num_embeddings, embedding_dim)

    References
    ----------
    A. Joulin, E. Grave, P. Bojanowski, T. Mikolov: Bag of Tricks for Efficient Text Classification, arXiv:1607.01759.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> nn.EmbeddingBag(1000, 64)(dnn.tensor([1, 2, 4, 5]), dnn.tensor([0, 3])).shape
    (2, 64)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: F.BagMode = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: _core.dtype | None = None,
        *,
        _freeze: bool = False,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            weight=_weight,
            freeze=_freeze,
            device=device,
            dtype=dtype,
        )
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: expected mode 'sum', 'mean' or 'max', got {mode!r}")
        self.mode: F.BagMode = mode
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: F.BagMode = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """Return a layer with a given table (V, D), which is not copied, and by default not trained.

        Examples
        --------
        >>> import dnncore as dnn
        >>> from dnncore import nn
        >>> nn.EmbeddingBag.from_pretrained(dnn.tensor([[1.0, 2.0], [3.0, 4.0]]))(dnn.tensor([[0, 1]])).tolist()
        [[2.0, 3.0]]
        """
        settings: dict[str, Any] = {**_sizes(cls.__name__, embeddings), "_weight": embeddings, "_freeze": freeze}
        return cls(
            **settings,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """Map ids (B, L), or (N,) with the offsets (B,) where bags begin, to (B, embedding_dim)."""
        return functional.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        """Return the sizes, the mode and the settings that are not the defaults."""
        return f"{super().extra_repr()}, mode={self.mode!r}"
