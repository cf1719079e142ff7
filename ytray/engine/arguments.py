"""A task's arguments: checked against the function's signature at submission, and read back in the worker."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError, create_model
from pydantic_core import PydanticSerializationError, from_json

from ytray.engine.canonical import canonical_json, with_sets_ordered
from ytray.errors import InvalidArguments, PayloadTooLarge, PermanentError

_KEYWORD_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


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

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int) -> bytes:
        """The arguments of a call as JSON. Raises InvalidArguments or PayloadTooLarge (`limit` in bytes)."""
        return self._encoded(args, kwargs, limit)[1]

    def encode_canonically(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int) -> tuple[bytes, bytes]:
        """What `encode` gives, and one text for all equal calls, in whatever order their sets and mappings are."""
        checked, payload = self._encoded(args, kwargs, limit)
        return payload, canonical_json(with_sets_ordered(checked, from_json(payload)))

    def _encoded(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int) -> tuple[Any, bytes]:
        try:
            given = self._signature.bind(*args, **kwargs).arguments if args else kwargs
            checked = self.model.__pydantic_validator__.validate_python(dict(given))
            payload = self.model.__pydantic_serializer__.to_json(checked, warnings="error")
        except ValidationError as invalid:
            raise InvalidArguments(f"task {self._name}: {_first_error(invalid)}") from None
        except (TypeError, PydanticSerializationError, PydanticUserError) as invalid:
            raise InvalidArguments(f"task {self._name}: {invalid}") from None
        if len(payload) > limit:
            raise PayloadTooLarge(
                f"task {self._name}: the arguments are {len(payload):,} bytes of JSON, more than the {limit:,} of "
                "YTRAY_MAX_PAYLOAD; put large data into a file and pass its path or artifact URI"
            )
        return checked, payload

    def decode(self, payload: Any) -> dict[str, Any]:
        """The keyword arguments of the call, from parsed JSON. Raises PermanentError: the code has changed since."""
        try:
            model = self.model.__pydantic_validator__.validate_python(payload, strict=False)
        except ValidationError as invalid:
            raise PermanentError(
                f"the stored arguments no longer fit task {self._name}: {_first_error(invalid)}"
            ) from None
        return {**{name: getattr(model, name) for name in self.model.model_fields}, **(model.model_extra or {})}

    def encode_result(self, value: Any, limit: int) -> bytes:
        """The result as JSON. Raises PermanentError when it cannot be, or is larger than `limit` bytes."""
        try:
            payload = self.result.dump_json(value, warnings="error")
        except (PydanticSerializationError, UnicodeDecodeError, ValueError) as invalid:
            raise PermanentError(f"task {self._name} returned what JSON cannot hold: {invalid}") from None
        if len(payload) > limit:
            raise PermanentError(
                f"task {self._name} returned {len(payload):,} bytes of JSON, more than the {limit:,} of "
                "YTRAY_MAX_PAYLOAD; put large data into the artifact store and return its URI"
            )
        return payload

    def decode_result(self, payload: bytes) -> Any:
        """The stored result as what the function returned."""
        return self.result.validate_json(payload)


def _first_error(invalid: ValidationError) -> str:
    error = invalid.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in error["loc"])
    more = f" (and {invalid.error_count() - 1} more)" if invalid.error_count() > 1 else ""
    return f"argument {place}: {error['msg']}{more}"
