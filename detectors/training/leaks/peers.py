"""What our rule is compared with: `detect-secrets` in an environment of its own, and a plain rule set."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from detectors.rules.patterns import entropy
from detectors.training.leaks.sets import Item

WORKER = Path(__file__).with_name("detect_secrets_worker.py")


def with_detect_secrets(python: Path, items: Sequence[Item]) -> list[list[str]]:
    """The values that detect-secrets reports, by item, with all its plugins and none of its online checks.

    `python` is the interpreter of an environment in which it is installed. Raises CalledProcessError when it fails.
    """
    lines = "\n".join(json.dumps({"text": item.text, "name": "a.py" if item.is_file else "a.txt"}) for item in items)
    ran = subprocess.run([python, WORKER], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


# The approach that scanners of repositories publish: shapes of the best-known providers, key blocks, and one generic
# assignment with an entropy and a list of words that end it.
_SHAPES = (
    r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    r"\bgh[pousr]_[0-9a-zA-Z]{36}\b",
    r"\bgithub_pat_\w{82}\b",
    r"\bgl(?:pat|dt|rt|ptt)-[\w-]{20}\b",
    r"\bxox[bpaors]-[0-9a-zA-Z-]{10,72}",
    r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9+/]{43,56}",
    r"\bsk-(?:proj|svcacct|admin)-[\w-]{58,74}T3BlbkFJ[\w-]{58,74}|\bsk-[a-zA-Z0-9]{20}T3BlbkFJ[a-zA-Z0-9]{20}",
    r"\bsk-ant-(?:api03|admin01)-[\w-]{93}AA",
    r"\bAIza[\w-]{35}\b",
    r"\b[rs]k_(?:live|test|prod)_[a-zA-Z0-9]{10,99}\b",
    r"\bSG\.[\w=.-]{66}\b",
    r"\bSK[0-9a-fA-F]{32}\b",
    r"\bnpm_[a-zA-Z0-9]{36}\b",
    r"\bpypi-AgEIcHlwaS5vcmc[\w-]{50,1000}",
    r"\bhf_[a-zA-Z]{34}\b",
    r"\bdapi[a-f0-9]{32}(?:-\d)?\b",
    r"\bdo[opr]_v1_[a-f0-9]{64}\b",
    r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
    r"\bglsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}\b",
    r"\bhvs\.[\w-]{90,120}\b",
    r"\blin_api_[a-zA-Z0-9]{40}\b",
    r"\bPMAK-[a-fA-F0-9]{24}-[a-fA-F0-9]{34}\b",
    r"\bey[a-zA-Z0-9]{17,}\.ey[a-zA-Z0-9/\\_-]{17,}\.(?:[a-zA-Z0-9/\\_-]{10,}={0,2})?",
    r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----[\s\S-]{64,}?KEY(?: BLOCK)?-----",
)
_GENERIC = re.compile(
    r"(?i)[\w.-]{0,50}?(?:access|auth|(?:api|key)|credential|creds|key|passw(?:or)?d|secret|token)(?:["
    r" \t\w.-]{0,20})[\s'\"]{0,3}"
    r"(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[`'\"\s=]{0,5}([\w.=-]{10,150}|[a-z0-9][a-z0-9+/]{11,}={0,3})(?:[`'\"\s;]"
    r"|\\[nr]|$)"
)
_GENERIC_ENTROPY = 3.5
_STOPWORDS = (
    "example", "test", "sample", "your", "client", "config", "token", "secret", "password", "default", "value", "name",
    "server", "user", "local", "public", "string", "class", "function", "self", "request", "response", "service",
)  # fmt: skip


def plainly(text: str) -> list[str]:
    """What a plain rule set of shapes, entropy and words finds."""
    found = [match.group() for shape in _SHAPES for match in re.finditer(shape, text)]
    for match in _GENERIC.finditer(text):
        value = match[1]
        if (
            entropy(value) >= _GENERIC_ENTROPY
            and not any(word in value.lower() for word in _STOPWORDS)
            and any(map(str.isdigit, value))
        ):
            found.append(value)
    return found
