"""The names of spans' attributes: OpenTelemetry's and our own. Those for GenAI are still in development (v0.1.0); when
they change, only this file has to.

None of these attributes ever holds a text of a request or an answer.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.openai_api import Operation

# HTTP, stable (semantic conventions 1.23 and later).
METHOD = "http.request.method"
STATUS = "http.response.status_code"
ROUTE = "http.route"
PATH = "url.path"
SERVER = "server.address"
PORT = "server.port"
ERROR_TYPE = "error.type"

# GenAI, in development.
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
APPLY_GUARDRAIL = "apply_guardrail"  # the operation of a guard

# Ours.
REQUEST_ID = "assay.request.id"
CALLER = "assay.caller"
ASSAY_ROUTE = "assay.route"
UPSTREAM = "assay.upstream"
OUTCOME = "assay.outcome"
DECISION = "assay.decision"
POLICY = "assay.policy.revision"
GUARD_SECONDS = "assay.guard.seconds"
GUARD_CALLS = "assay.guard.calls"
DIRECTION = "assay.guard.direction"
FIRST_BYTE_SECONDS = "assay.upstream.first_byte_seconds"

OPERATIONS: Mapping[Operation, str] = MappingProxyType(
    {
        Operation.CHAT: "chat",
        Operation.RESPONSES: "chat",
        Operation.MESSAGES: "chat",
        Operation.COMPLETIONS: "text_completion",
        Operation.EMBEDDINGS: "embeddings",
    }
)

_PROVIDERS = (
    (".openai.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".anthropic.com", "anthropic"),
    (".groq.com", "groq"),
    (".mistral.ai", "mistral_ai"),
    (".deepseek.com", "deepseek"),
    (".perplexity.ai", "perplexity"),
    (".x.ai", "x_ai"),
    (".cohere.com", "cohere"),
    (".googleapis.com", "gcp.gemini"),
    (".amazonaws.com", "aws.bedrock"),
)


def provider_of(host: str, operation: Operation) -> str:
    """Who serves the model, by the host's name; where that does not tell, by the dialect of the request."""
    for ending, name in _PROVIDERS:
        if f".{host}".endswith(ending):
            return name
    return "anthropic" if operation is Operation.MESSAGES else "openai"
