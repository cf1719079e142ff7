"""Text from any OpenAI-compatible endpoint, such as a local vLLM or Ollama."""

from __future__ import annotations

from typing import Any

import httpx2
from pydantic import ValidationError

from ytray.errors import PermanentError
from ytray.settings import settings
from ytray.spend.buying import buy
from ytray.spend.model import Bought, Call
from ytray.spend.prices import Price, price_table
from ytray.studio.providers.assets import is_kept
from ytray.studio.providers.vertex import tokens_of, usable
from ytray.studio.providers.wire import one_request, status_of
from ytray.studio.providers.writing import A, Writer


class OpenAIText(Writer):
    """Writes with the model of YTRAY_OPENAI_MODEL at YTRAY_OPENAI_BASE_URL. Without a price it counts as free."""

    name = "openai"

    def __init__(self, place: str = "") -> None:
        self._place = place

    def label(self) -> str:
        """The model, as people know it."""
        return self._endpoint()[1]

    def ask(self, prompt: str, answer: type[A], most_tokens: int, place: str) -> A:
        """The model's answer to a prompt, read into `answer`."""
        base_url, model = self._endpoint()
        price = price_table().models.get(model, Price())
        schema = _strict(answer.model_json_schema())
        call = Call(
            provider=self.name,
            model=model,
            kind="text",
            parameters={"prompt": prompt, "schema": schema, "most_tokens": most_tokens, "at": base_url},
            place=f"{self._place}{place}",
            estimate_usd=price.of(input_tokens=2 * tokens_of(prompt), output_tokens=most_tokens),
            tokens=tokens_of(prompt) + most_tokens,
            about=place,
        )

        def send() -> Bought:
            told, used_in, used_out = self._complete(base_url, model, prompt, answer.__name__, schema, most_tokens)
            units = {"input_tokens": float(used_in), "output_tokens": float(used_out)}
            usd = price.of(input_tokens=used_in, output_tokens=used_out)
            try:
                return Bought({"answer": answer.model_validate_json(told).model_dump()}, usd, units)
            except ValidationError as wrong:
                why = f"its answer does not fit the schema ({wrong.error_count()} errors)"
                return Bought({"unusable": why}, usd, units)

        return answer.model_validate(usable(buy(call, send, is_there=is_kept), model)["answer"])

    def _endpoint(self) -> tuple[str, str]:
        base_url, model = settings().openai_base_url, settings().openai_model
        if not base_url or not model:
            raise PermanentError("the provider 'openai' needs YTRAY_OPENAI_BASE_URL and YTRAY_OPENAI_MODEL")
        return base_url, model

    def _complete(
        self, base_url: str, model: str, prompt: str, name: str, schema: dict[str, Any], most_tokens: int
    ) -> tuple[str, int, int]:
        from openai import OpenAI

        key = settings().openai_api_key
        with one_request(f"{model} at {base_url}", library=httpx2) as (http, transport):
            client = OpenAI(
                base_url=base_url,
                api_key=key.get_secret_value() if key is not None else "none",
                max_retries=0,
                http_client=http,
            )
            try:
                answer = client.chat.completions.create(
                    model=model,
                    messages=[{"role": "user", "content": prompt}],
                    max_tokens=most_tokens,
                    response_format={
                        "type": "json_schema",
                        "json_schema": {"name": name, "schema": schema, "strict": True},
                    },
                )
            except Exception as error:
                if status_of(transport) == 404:
                    raise PermanentError(
                        f"{base_url} does not know the model {model!r}: change YTRAY_OPENAI_MODEL"
                    ) from error
                raise
        choice = answer.choices[0]
        if choice.finish_reason == "content_filter" or choice.message.refusal:
            raise PermanentError(f"{model} refused: {choice.message.refusal or 'blocked by its content filter'}")
        used = answer.usage
        return choice.message.content or "", used.prompt_tokens if used else 0, used.completion_tokens if used else 0


def _strict(schema: Any) -> Any:
    """The schema as `strict` wants it: every object closed, and all of its properties required."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(part) for name, part in schema.items()}
    if made.get("type") == "object":
        made |= {"additionalProperties": False, "required": list(made.get("properties", {}))}
    return made
