"""A second opinion on coherence: Vertex AI's evaluation service."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ytray.errors import PermanentError
from ytray.settings import settings
from ytray.spend.buying import buy
from ytray.spend.model import Bought, Call, ProviderBusy, ProviderFailed, Unheard
from ytray.spend.prices import Price, price_table
from ytray.studio.model import Judgement, Script

MODEL = "vertex-evaluation"  # what its calls are priced and limited under
_BEST = 5.0  # its scores go from 1 to 5
_FAILED = frozenset({500, 502, 503, 504, 408})


def judge_coherence(script: Script, place: str = "") -> Judgement:
    """The service's judgement of a script. Raises as other paid calls do."""
    text = "\n".join(scene.narration for scene in script.scenes)
    call = Call(
        provider="vertex",
        model=MODEL,
        kind="judge",
        parameters={"prediction": text},
        place=place,
        estimate_usd=price_table().models.get(MODEL, Price()).call,
        about=script.title,
    )

    def send() -> Bought:
        from google.api_core import exceptions

        try:
            score, told = _evaluate(text)
        except exceptions.TooManyRequests as busy:
            raise ProviderBusy(f"Vertex AI's evaluation service has no quota left: {busy.message}", 30.0) from busy
        except exceptions.GoogleAPICallError as refused:
            code = int(refused.code or 500)
            error = ProviderFailed if code in _FAILED else PermanentError
            raise error(f"Vertex AI's evaluation service answered {code}: {refused.message}") from refused
        except OSError as lost:  # what `requests` raises is one
            raise Unheard(f"Vertex AI's evaluation service gave no answer ({type(lost).__name__}).") from lost
        return Bought({"score": score, "explanation": told}, call.estimate_usd, {"calls": 1})

    asset = buy(call, send)
    return Judgement(score=asset["score"], explanation=asset["explanation"], judge="Vertex AI evaluation service")


def _evaluate(text: str) -> tuple[float, str]:
    # Importing this takes seconds, so it is done where a judgement is asked for.
    from google.cloud.aiplatform_v1.services.evaluation_service import EvaluationServiceClient
    from google.cloud.aiplatform_v1.services.evaluation_service.transports.rest import EvaluationServiceRestTransport
    from google.cloud.aiplatform_v1.types import (
        CoherenceInput,
        CoherenceInstance,
        CoherenceSpec,
        EvaluateInstancesRequest,
    )

    from ytray.studio.providers.vertex import credentials

    project, location = settings().vertex_project, settings().vertex_location
    if not project:
        raise PermanentError("YTRAY_VERTEX_PROJECT names no Google Cloud project: the judge needs the one that pays")
    region = "us-central1" if location == "global" else location  # the service has no global address
    host, scheme = f"{region}-aiplatform.googleapis.com", "https"
    if settings().vertex_base_url:
        given = urlsplit(settings().vertex_base_url or "")
        host, scheme = given.netloc, given.scheme
    transport: Any = EvaluationServiceRestTransport(host=host, credentials=credentials(), url_scheme=scheme)
    client = EvaluationServiceClient(transport=transport)
    request = EvaluateInstancesRequest(
        location=f"projects/{project}/locations/{region}",
        coherence_input=CoherenceInput(metric_spec=CoherenceSpec(), instance=CoherenceInstance(prediction=text)),
    )
    # No retry of the client's own: it could be billed twice.
    answer = client.evaluate_instances(request=request, retry=None, timeout=settings().vertex_timeout)
    return float(answer.coherence_result.score) / _BEST, str(answer.coherence_result.explanation)
