"""Values that are made of named settings: immutable, equal by content, with one declaration per setting.

A subclass of `Settings` declares its settings in its body, each with type, default and meaning, and gets
from that its constructor, properties, equality, hash, `repr`, pickling, and `Settings.replace`::

    class Pair(Settings):
        left: bool = knob("Whether it is on the left.", default=False)

Type checkers see the constructor, too. Plain Python: what a setting means to C is not known here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ._importing import Importing

if TYPE_CHECKING:
    from inspect import Signature

    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        """What type checkers need to know (``typing`` has it from Python 3.11 on)."""
        return lambda decorated: decorated


Convert = Callable[[str, Any], Any]
"""``convert(name, value)``: ``value`` as it is kept, or a `TypeError` or `ValueError` that names it."""


def flag(name: str, value: Any) -> bool:
    """``value``, which must be a bool."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name}: expected a bool, got {value!r}")


def number(low: int, high: int, unit: str) -> Convert:
    """How to convert an integer from ``low`` to ``high``; ``unit`` is what it counts."""

    def convert(name: str, value: Any) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name}: expected a number of {unit}, got {value!r}")
        size = operator.index(value)
        if not low <= size <= high:
            raise ValueError(f"{name}: expected {low} to {high} {unit}, got {size}")
        return size

    return convert


def choice(kind: type[Any]) -> Convert:
    """How to convert a member of an enumeration, or its number."""

    def convert(name: str, value: Any) -> Any:
        if isinstance(value, kind):
            return value
        members = f"a member of {kind.__name__} ({', '.join(kind.__members__)})"
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name}: expected {members}, got {value!r}")
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"{name}: expected {members}, got {value!r}") from None

    return convert


class FrozenMap(Mapping[str, Any]):
    """A mapping that cannot change, and so has a hash; in the order of its keys."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = dict(sorted(items.items()))

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


class Knob:
    """One setting: a property that cannot be set.

    Attributes:
        name: What Python calls it.
        default: What it is unless given.
        default_in: What it is unless given, from the other settings, where it depends on them.
        meaning: What it does, in a few words.
        c_name: What its function in C is called, without prefix and suffix.
    """

    def __init__(
        self,
        default: Any,
        meaning: str,
        convert: Convert,
        c_name: str,
        default_in: Callable[[Any], Any] | None,
    ) -> None:
        self.default, self.meaning, self.convert = default, meaning, convert
        self.default_in = default_in or (lambda _settings: default)
        self.name, self.c_name = "", c_name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.c_name = name, self.c_name or name
        self.__doc__ = f"{self.meaning} Default: {self.default!r}."

    def __get__(self, settings: Settings | None, owner: type | None = None) -> Any:
        if settings is None:
            return self
        given = settings._given
        return given[self.name] if self.name in given else self.default_in(settings)

    def __set__(self, settings: Settings, value: object) -> None:
        raise AttributeError(f"{type(settings).__name__}.{self.name} is read-only: replace() makes a variant")


def knob(
    meaning: str,
    convert: Convert = flag,
    c_name: str = "",
    *,
    default: Any,
    default_in: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a setting: see `Knob`. Without ``convert`` it is a bool."""
    return Knob(default, meaning, convert, c_name, default_in)


class _SignatureOf:
    """``Class.__signature__``, made when `inspect` asks for it."""

    def __get__(self, _settings: object, owner: type[Settings]) -> Signature:
        with Importing():
            from inspect import Parameter, Signature  # noqa: PLC0415  slow to import, and rarely needed

        return Signature(
            [
                Parameter(
                    name, Parameter.KEYWORD_ONLY, default=knob.default, annotation=owner.__annotations__[name]
                )
                for name, knob in owner._knobs.items()
            ]
        )


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(knob,))
class Settings:
    """A value made of settings. See the module.

    What was given is kept apart from what is a default, since defaults may depend on other settings; giving
    what is the default anyway makes no difference.
    """

    __slots__ = ("_given",)
    #: The settings by name, in the order of their declaration.
    _knobs: ClassVar[dict[str, Knob]] = {}
    __signature__: ClassVar[Any] = _SignatureOf()
    _given: dict[str, Any]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._knobs = {**cls._knobs, **{k: v for k, v in vars(cls).items() if isinstance(v, Knob)}}

    def __init__(self, *args: Any, **settings: Any) -> None:
        kind, knobs = type(self).__name__, self._knobs
        if args:
            raise TypeError(
                f"{kind}() takes settings by name, as in {kind}({next(iter(knobs))}=...), got {args[0]!r}"
            )
        if hasattr(self, "_given"):
            raise TypeError(f"this {kind} was initialised already")
        unknown = [name for name in settings if name not in knobs]
        if unknown:
            raise TypeError(
                f"{kind}() got an unexpected keyword argument {unknown[0]!r}{_like(unknown[0], knobs)}"
            )
        # In the order of declaration, so that repr and hash do not depend on the caller's.
        given = {name: knob.convert(name, settings[name]) for name, knob in knobs.items() if name in settings}
        object.__setattr__(self, "_given", given)
        for name, value in list(given.items()):
            knob = knobs[name]
            if value == knob.default:
                del given[name]
                if value != knob.default_in(self):
                    given[name] = value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: replace() makes a variant")

    def replace(self, **changes: Any) -> Self:
        """A variant of it with some settings changed.

        Raises:
            TypeError: A setting is unknown, or has a value of the wrong type.
            ValueError: A value is out of range.
        """
        return type(self)(**{**self._given, **changes})

    __replace__ = replace

    def __eq__(self, other: object) -> bool:
        return self._given == other._given if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *sorted(self._given.items(), key=operator.itemgetter(0))))

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (type(self), dict(self._given))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={self._given[name]!r}" for name in self._knobs if name in self._given)
        return f"{type(self).__name__}({given})"


def _make(kind: type[Settings], given: dict[str, Any]) -> Settings:
    return kind(**given)


def _like(name: str, known: Mapping[str, Knob]) -> str:
    for knob in known.values():
        if name in {knob.c_name, f"{knob.c_name}_set", f"{knob.c_name}_enable"}:
            return f"; here it is {knob.name!r}"
    with Importing():
        from difflib import get_close_matches  # noqa: PLC0415  for an error only

    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
