"""The vendors' clients through a gateway that runs: each asks once, and waits as long as a busy machine needs."""

from anthropic import Anthropic
from openai import OpenAI

from tests.support.running.patience import PATIENCE_SECONDS
from tests.support.servers.gateway_process import GatewayProcess


def openai_client(gateway: GatewayProcess) -> OpenAI:
    return OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0, timeout=PATIENCE_SECONDS)


def anthropic_client(gateway: GatewayProcess) -> Anthropic:
    return Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0, timeout=PATIENCE_SECONDS)
