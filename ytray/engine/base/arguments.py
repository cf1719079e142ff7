"""A task's arguments: checked against the function's signature at submission, and read back in the worker."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    create_model,
)
from pydantic_core import PydanticSerializationError, from_json

from ytray.engine.base.canonical import canonical_json, with_sets_ordered
from ytray.engine.base.error_text import in_words
from ytray.engine.base.values import NotKept, check_kept, check_limits, is_plain, told_with, why_not
from ytray.errors import InvalidArguments, PayloadTooLarge, PermanentError

_STORED = {"stored": True}  # the context in which arguments are read that were accepted before
_KEYWORD_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PLAIN_TYPES = (str, int, float, bool, type(None), Any, object)


class Signature:
    """What a task takes and gives, as Pydantic sees it. Built when first needed: importing a task stays cheap."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        self._signature = inspect.signature(function)
        for parameter in self._signature.parameters.values():
            if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
                raise TypeError(
                    f"task {name}: the parameter {parameter} has no name to submit it by; use keyword parameters"
                )
        self._open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self._signature.parameters.values())

    def takes(self, name: str) -> bool:
        """Whether the function has a place for a keyword argument of that name."""
        return self._open or name in self._signature.parameters

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self._function, include_extras=True)
        except (NameError, AttributeError) as unknown:
            raise TypeError(f"its annotations cannot be understood: {unknown}") from None

    @cached_property
    def model(self) -> type[BaseModel]:
        """The Pydantic model of the arguments; its JSON Schema is what the task publishes."""
        fields: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.kind in _KEYWORD_KINDS:
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                fields[name] = (self._hints.get(name, Any), default)
        config = ConfigDict(
            extra="allow" if self._open else "forbid", arbitrary_types_allowed=False, protected_namespaces=()
        )
        return create_model(f"{self._name}_arguments", __config__=config, **fields)

    @cached_property
    def result(self) -> TypeAdapter[Any]:
        """What reads and writes the function's result, by its return annotation."""
        annotation = self._hints.get("return", Any)
        return TypeAdapter(Any if annotation is None else annotation)

    @cached_property
    def _takes_plain(self) -> frozenset[str]:
        """The parameters in which a plain value surely comes back: their types make nothing else of it."""
        return frozenset(name for name in self.model.model_fields if _takes_plain(self._hints.get(name, Any)))

    @cached_property
    def _left_to_the_function(self) -> set[str]:
        """The parameters whose defaults JSON does not give back: what is stored leaves them to the function."""
        return {
            name
            for name, parameter in self._signature.parameters.items()
            if parameter.kind in _KEYWORD_KINDS
            and parameter.default is not inspect.Parameter.empty
            and not _keeps_default(self._hints.get(name, Any), parameter.default)
        }

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int) -> bytes:
        """The arguments of a call as JSON, from which `decode` makes the same again.

        Raises InvalidArguments, also for what JSON would change, or PayloadTooLarge (`limit` in bytes).
        """
        return self._encoded(args, kwargs, limit)[1]

    def encode_canonically(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int) -> tuple[bytes, bytes]:
        """What `encode` gives, and one text for all equal calls, in whatever order their sets and mappings are."""
        checked, payload = self._encoded(args, kwargs, limit)
        return payload, canonical_json(with_sets_ordered(checked, from_json(payload)))

    def _encoded(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int) -> tuple[Any, bytes]:
        given: Mapping[str, Any] = kwargs
        try:
            given = self._named(args, kwargs) if args else kwargs
            checked = self.model.__pydantic_validator__.validate_python(dict(given))
            left = self._left_to_the_function - checked.__pydantic_fields_set__ if self._left_to_the_function else None
            payload = self.model.__pydantic_serializer__.to_json(checked, warnings="error", exclude=left)
            self._check_kept(checked, payload)
        except ValidationError as invalid:
            raise InvalidArguments(f"task {self._name}: {_first_error(invalid)}") from None
        except NotKept as changed:
            told = str(changed) if str(changed).startswith("argument ") else f"its arguments: {changed}"
            raise InvalidArguments(f"task {self._name}: {told}") from None
        except (PydanticSerializationError, RecursionError, UnicodeError) as invalid:
            reasons = [why_not(value, invalid, f"argument {name}") for name, value in given.items()]
            why = next((reason for reason in reasons if reason != str(invalid)), str(invalid))
            raise InvalidArguments(f"task {self._name}: {why}") from None
        except (TypeError, PydanticUserError) as invalid:
            raise InvalidArguments(f"task {self._name}: {invalid}") from None
        if len(payload) > limit:
            raise PayloadTooLarge(
                f"task {self._name}: the arguments are {len(payload):,} bytes of JSON, more than the {limit:,} of "
                "YTRAY_MAX_PAYLOAD; put large data into a file and pass its path or artifact URI"
            )
        return checked, payload

    def _named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """A call's arguments by name. Raises TypeError where they do not fit."""
        given = self._signature.bind(*args, **kwargs).arguments
        if not self._open:
            return given
        return {**{name: given[name] for name in given if name in self.model.model_fields}, **kwargs}

    def _check_kept(self, given: BaseModel, payload: bytes) -> None:
        values = given.__dict__
        if not given.__pydantic_extra__:
            takes_plain = self._takes_plain
            for name in given.__pydantic_fields_set__:
                if name not in takes_plain or not is_plain(values[name]):
                    break
            else:
                return  # as most calls are: no need to read what is written
        check_limits(payload)
        try:
            back = self.model.__pydantic_validator__.validate_python(from_json(payload), strict=False)
        except ValidationError as invalid:
            raise NotKept(_unreadable(values | (given.model_extra or {}), invalid)) from None
        found = back.__dict__ | (back.model_extra or {})
        for name, value in (values | (given.model_extra or {})).items():
            if name in given.model_fields_set:
                check_kept(value, found.get(name), f"argument {name}")

    def decode(self, payload: Any) -> dict[str, Any]:
        """The keyword arguments of the call, from parsed JSON. Raises PermanentError: the code has changed since."""
        try:
            model = self.model.__pydantic_validator__.validate_python(payload, strict=False, context=_STORED)
        except ValidationError as invalid:
            raise PermanentError(
                f"the stored arguments no longer fit task {self._name}: {_first_error(invalid)}"
            ) from None
        return {**{name: getattr(model, name) for name in self.model.model_fields}, **(model.model_extra or {})}

    def encode_result(self, value: Any, limit: int) -> bytes:
        """The result as JSON, from which `decode_result` makes the same again.

        Raises PermanentError when that cannot be, or when it is larger than `limit` bytes.
        """
        try:
            payload = self.result.dump_json(value, warnings="error")
            if not (self._gives_plain and is_plain(value)):
                check_limits(payload)
                check_kept(value, self.decode_result(payload), "its result")
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as invalid:
            why = invalid if isinstance(invalid, NotKept) else why_not(value, invalid, "its result")
            raise PermanentError(
                f"task {self._name} returned what JSON cannot hold: {told_with('its result', why)}"
            ) from None
        except Exception as invalid:  # a value's own code may raise anything
            raise PermanentError(f"task {self._name} returned what JSON cannot hold: {in_words(invalid)}") from invalid
        if len(payload) > limit:
            raise PermanentError(
                f"task {self._name} returned {len(payload):,} bytes of JSON, more than the {limit:,} of "
                "YTRAY_MAX_PAYLOAD; put large data into the artifact store and return its URI"
            )
        return payload

    @cached_property
    def _gives_plain(self) -> bool:
        return _takes_plain(self._hints.get("return", Any))

    def decode_result(self, payload: bytes) -> Any:
        """The stored result as what the function returned."""
        return self.result.validate_json(payload)


def is_stored(info: ValidationInfo) -> bool:
    """Whether a validator reads what was accepted at the door before, maybe by a version that accepted more."""
    return isinstance(info.context, dict) and bool(info.context.get("stored"))


def _keeps_default(annotation: Any, default: Any) -> bool:
    """Whether JSON gives a parameter's default back as it is."""
    if is_plain(default) and (_takes_plain(annotation) or (default is None and type(None) in get_args(annotation))):
        return True
    model = create_model("default", value=(annotation, default))
    try:
        payload = model.__pydantic_serializer__.to_json(model(), warnings="error")
        check_limits(payload)
        check_kept(default, model.model_validate(from_json(payload)).__dict__["value"])
    except (ValueError, TypeError):
        return False
    return True


def _takes_plain(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return all(_takes_plain(part) for part in get_args(annotation))
    return any(annotation is kind for kind in (*_PLAIN_TYPES, None))


def _unreadable(values: Mapping[str, Any], invalid: ValidationError) -> str:
    name = str(*invalid.errors(include_url=False, include_input=False)[0]["loc"][:1])
    told = why_not(values.get(name), invalid, f"argument {name}")
    if told != str(invalid):
        return told
    return (
        f"argument {name} cannot be read again once it is JSON ({_first_error(invalid)}); docs/arguments.md tells more"
    )


def _first_error(invalid: ValidationError) -> str:
    error = invalid.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in error["loc"])
    more = f" (and {invalid.error_count() - 1} more)" if invalid.error_count() > 1 else ""
    return f"argument {place}: {error['msg']}{more}"
