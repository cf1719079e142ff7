"""What a model costs: the dated table that comes with ytray, and the user's own over it (YTRAY_PRICES)."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ytray.errors import SettingsError
from ytray.settings import settings
from ytray.spend.model import Unpriced
from ytray.text_files import read_text


class Price(BaseModel):
    """What one model costs, in US dollars for each unit that it bills; a unit that it does not bill is 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_million_tokens: float = Field(0.0, ge=0)
    output_million_tokens: float = Field(0.0, ge=0)
    audio_million_tokens: float = Field(0.0, ge=0)
    image: float = Field(0.0, ge=0)
    second: float = Field(0.0, ge=0)
    call: float = Field(0.0, ge=0)

    def of(
        self,
        *,
        input_tokens: float = 0,
        output_tokens: float = 0,
        audio_tokens: float = 0,
        images: float = 0,
        seconds: float = 0,
        calls: float = 0,
    ) -> float:
        """US dollars for so much of each."""
        return (
            input_tokens * self.input_million_tokens / 1e6
            + output_tokens * self.output_million_tokens / 1e6
            + audio_tokens * self.audio_million_tokens / 1e6
            + images * self.image
            + seconds * self.second
            + calls * self.call
        )


class PriceTable(BaseModel):
    """Prices by model, as of a date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dated: date
    models: dict[str, Price]


def price_of(model: str) -> Price:
    """The price of a model. Raises Unpriced for one that the table does not have."""
    found = price_table().models.get(model)
    if found is None:
        raise Unpriced(f"there is no price for the model {model!r}: add it to the table that YTRAY_PRICES names")
    return found


def price_table() -> PriceTable:
    """The table in force. Raises SettingsError when YTRAY_PRICES names no readable one."""
    return _table(settings().prices)


@cache
def _table(own: Path | None) -> PriceTable:
    shipped = PriceTable.model_validate(tomllib.loads((files("ytray.spend") / "prices.toml").read_text("utf-8")))
    if own is None:
        return shipped
    try:
        given: dict[str, Any] = tomllib.loads(read_text(own))
        theirs = PriceTable.model_validate(given)
    except (OSError, ValueError) as wrong:
        raise SettingsError(f"YTRAY_PRICES: {own} is no table of prices: {str(wrong).splitlines()[0]}") from None
    return PriceTable(dated=theirs.dated, models={**shipped.models, **theirs.models})
