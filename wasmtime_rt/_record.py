"""Immutable values with named fields, as data classes are, for a tenth of their time at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ._importing import Importing
from ._text import LIST_SIZE, NAME_SIZE, first_of, shown_name

if TYPE_CHECKING:
    from inspect import Signature

    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        """Tell type checkers, and only them, that subclasses declare fields."""
        return lambda cls: cls


class _SignatureOf:
    """``Class.__signature__``, made when `inspect` asks; ``None`` for a class with its own ``__init__``."""

    def __get__(self, _record: object, owner: type[Record]) -> Signature | None:
        if owner.__init__ is not Record.__init__:
            return None
        with Importing():
            from inspect import Parameter, Signature  # noqa: PLC0415  slow to import, and rarely needed

        return Signature(
            [
                Parameter(
                    name,
                    Parameter.POSITIONAL_OR_KEYWORD,
                    default=getattr(owner, name, Parameter.empty),
                    annotation=owner.__annotations__[name],
                )
                for name in owner._fields
            ]
        )


@dataclass_transform(frozen_default=True)
class Record:
    """A value whose fields are the annotated names of its class, in order; `_check` may refuse them.

    Records of one class are equal, and hash alike, when their fields do.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    __signature__: ClassVar[Any] = _SignatureOf()

    def __init_subclass__(cls) -> None:
        for base in cls.__bases__:
            if issubclass(base, Record) and base._fields:
                # What is told to C must not change between two times of asking.
                raise TypeError(f"no class can be derived from {base.__name__}")
        hints = cls.__annotations__
        cls._fields = tuple(name for name, hint in hints.items() if not hint.startswith("ClassVar"))
        type.__setattr__(cls, "__match_args__", cls._fields)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._begin()
        name, fields = type(self).__name__, self._fields
        if len(args) == len(fields) and not kwargs:  # the quick way
            self.__dict__.update(zip(fields, args, strict=True))
            self._check()
            return
        if len(args) > len(fields):
            raise TypeError(f"{name}: expected at most {len(fields)} arguments, got {len(args)}")
        given = dict(zip(fields, args, strict=False))
        for key, value in kwargs.items():
            if key not in fields or key in given:
                problem = "given twice" if key in given else f"unknown; expected {', '.join(fields)}"
                raise TypeError(f"{name}: the argument {key} is {problem}")
            given[key] = value
        for field in fields:
            if field not in given and not hasattr(type(self), field):
                raise TypeError(f"{name}: the argument {field} is missing")
            self.__dict__[field] = given[field] if field in given else getattr(type(self), field)
        try:
            self._check()
        except BaseException:
            self.__dict__.clear()  # what was refused must not be had by another way
            raise

    def _begin(self) -> None:
        """Refuse a second ``__init__``, which would change it."""
        if self._fields[0] in self.__dict__:
            raise TypeError(f"this {type(self).__name__} was initialised already")

    def _check(self) -> None:
        """Refuse, or replace by `_set`, what the fields hold."""

    def _set(self, field: str, value: object) -> None:
        self.__dict__[field] = value

    def _replace(self, **changes: Any) -> Self:
        return type(self)(**{**dict(zip(self._fields, self._values(), strict=True)), **changes})

    __replace__ = _replace  # for copy.replace

    def _values(self) -> tuple[Any, ...]:
        return tuple(self.__dict__[field] for field in self._fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name}")

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        values = zip(self._fields, self._values(), strict=True)
        return f"{type(self).__qualname__}({', '.join(f'{name}={_repr(value)}' for name, value in values)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()


def _repr(value: object) -> str:
    """The ``repr`` of a field, cut where a module made it long."""
    if isinstance(value, str):
        return repr(shown_name(value)) if len(value) > NAME_SIZE else repr(value)
    if type(value) is bytes and len(value) > NAME_SIZE:
        return f"{value[:NAME_SIZE]!r}..."
    if type(value) is tuple and len(value) > LIST_SIZE:
        return f"({first_of(map(repr, value), len(value))})"
    return repr(value)
