"""The groups of an optimizer: dicts and lists whose changes reach the optimizer or are refused, never ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class FixedList(list[T]):
    """A list that only its owner changes; every other change raises TypeError with what to do instead."""

    def __init__(self, items: list[T], instead: str) -> None:
        super().__init__(items)
        self._instead = instead

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"optim: this list cannot be changed in place; {self._instead}")

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __delitem__ = __iadd__ = __imul__ = _refuse

    def __setitem__(self, index: Any, value: Any) -> None:
        if not (isinstance(index, int) and value is self[index]):  # what `groups[i] |= {...}` ends with
            self._refuse()

    def _replace(self, items: list[T]) -> None:
        super().__setitem__(slice(None), items)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (list(self),)


def fixed_parameters(params: list[Any]) -> FixedList[Any]:
    """Return the parameters of a group as they stand in its dict."""
    return FixedList(params, "write group['params'] = [...] or call add_param_group()")


class ParamGroup(dict[str, Any]):
    """Settings of one group of parameters; what is written here stands in native memory at once."""

    def __init__(self, settings: Mapping[str, Any], changed: Callable[[ParamGroup, set[str]], None]) -> None:
        super().__init__(settings)
        self._changed = changed
        self._freeze()

    def _freeze(self) -> None:
        if not isinstance(self["params"], FixedList):
            super().__setitem__("params", fixed_parameters(self["params"]))

    def _take(self, settings: Mapping[str, Any]) -> None:
        """Become `settings`, unseen by the optimizer."""
        super().clear()
        super().update(settings)
        self._freeze()

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several settings; none if one of them is refused."""
        before = dict(self)
        fresh = dict(*args, **kwargs)
        super().update(fresh)
        try:
            self._changed(self, set(fresh))
        except BaseException:
            self._take(before)
            raise

    def __ior__(self, other: Any) -> ParamGroup:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the setting, after setting it if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError("optim: settings cannot be removed from a parameter group; write another value")

    __delitem__ = pop = popitem = clear = _refuse

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


class StateView(dict[Any, Any]):
    """State as it stands in native memory: the tensors may be written in place, the entries only by `load_state_dict`."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("optim: the state cannot be changed here; write into its tensors in place, or use load_state_dict()")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)
