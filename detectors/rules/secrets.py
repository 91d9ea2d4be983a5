"""Secrets in a text: provider tokens, private keys, connection strings, and named values with high entropy.

Token shapes are those the providers document. Nothing is checked online: a match says that the text carries
something of that shape which is no known example.
"""

import re

from detectors.rules.patterns import Pattern, entropy

# Parts of values that documentation uses in place of a secret, compared in lower case.
_PLACEHOLDERS = (
    "example", "your", "xxxx", "placeholder", "changeme", "change_me", "dummy", "redacted", "insert", "sample",
    "abcdefgh", "12345678", "0123456", "....", "****", "${", "{{", "<", "process.env", "os.environ", "getenv",
    "test_key", "my_secret", "mysecret", "my-secret", "secret_key", "secretkey", "deadbeef", "foobar", "lorem",
    "eyjzdwiioiixmjm0nty3odkw",  # {"sub":"1234567890: the specimen token of jwt.io
)  # fmt: skip
_DISTINCT = 8  # different characters in a token, at least


def is_token(value: str) -> bool:
    """Not a placeholder, not a run of few characters."""
    lowered = value.lower()
    return len(set(value)) >= _DISTINCT and not any(part in lowered for part in _PLACEHOLDERS)


def is_password(value: str) -> bool:
    """Could be a real password in a URL or an assignment: no placeholder, not the word itself, not a variable."""
    lowered = value.lower().strip("[]%$")
    return (
        len(set(value)) >= 4
        and lowered not in {"password", "passwd", "secret", "pass", "user", "hunter2", "token", "pwd"}
        and value[0] not in "$%<{["
        and not any(part in lowered for part in _PLACEHOLDERS)
    )


def is_random(value: str) -> bool:
    """Letters and digits mixed, with the entropy of a generated value rather than of a word or a path."""
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return mixed and entropy(value) >= 3.0 and value.count("/") < 3 and value.count(".") < 3 and is_token(value)


def is_private_key(value: str) -> bool:
    """A key block with a body, not only its header."""
    body = value.split("-----")[2]
    return len(body.strip()) >= 60 and "..." not in body


def _token(label: str, expression: str, confidence: float, *hints: str) -> Pattern:
    anchored = re.compile(rf"(?<![A-Za-z0-9_-])(?:{expression})(?![A-Za-z0-9])")
    return Pattern(label, hints, anchored, confidence, is_token)


_NAMES = r"(?:api[_-]?key|secret|token|access[_-]?key|auth[_-]?key|client[_-]?key|credential)s?"
_PASSWORDS = r"(?:password|passwd|passphrase|pwd)"
_ASSIGN = r"[\w-]{0,16}[\"'`]?\s{0,3}(?:=>|:=|=|:)\s{0,3}[\"'`]?"

PATTERNS = (
    _token("aws_access_key", "(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}", 0.99, "AKIA", "ASIA", "ABIA", "ACCA"),
    Pattern(
        "aws_secret_key",
        ("aws",),
        re.compile(r"(?i)aws[\w .-]{0,24}key[\"']?\s{0,3}[=:]\s{0,3}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"),
        0.95,
        is_token,
        fold=True,
    ),
    _token("github_token", "gh[pousr]_[A-Za-z0-9]{36,251}", 0.99, "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _token("github_token", "github_pat_[A-Za-z0-9_]{60,90}", 0.99, "github_pat_"),
    _token("gitlab_token", "gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,64}", 0.97, "glpat-", "glptt-", "gldt-", "glrt-"),
    _token("slack_token", "xox[abeoprs]-[A-Za-z0-9-]{10,250}", 0.97, "xox"),
    _token(
        "slack_webhook",
        r"hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}",
        0.97,
        "hooks.slack.com",
    ),
    _token("openai_key", "sk-[A-Za-z0-9_-]{16,160}T3BlbkFJ[A-Za-z0-9_-]{16,160}", 0.99, "T3BlbkFJ"),
    _token("openai_key", "sk-(?:proj-|svcacct-|admin-)[A-Za-z0-9_-]{32,200}", 0.97, "sk-"),
    _token("api_key", "sk-[A-Za-z0-9]{32,64}", 0.9, "sk-"),
    _token("anthropic_key", r"sk-ant-[a-z]{3,6}\d\d-[A-Za-z0-9_-]{60,120}", 0.99, "sk-ant-"),
    _token("google_api_key", "AIza[A-Za-z0-9_-]{35}", 0.97, "AIza"),
    _token("google_oauth", r"ya29\.[A-Za-z0-9_-]{30,250}|GOCSPX-[A-Za-z0-9_-]{28}", 0.97, "ya29.", "GOCSPX-"),
    _token("stripe_key", "[sr]k_live_[A-Za-z0-9]{20,120}", 0.99, "k_live_"),
    _token("stripe_test_key", "[sr]k_test_[A-Za-z0-9]{20,120}", 0.7, "k_test_"),
    _token("npm_token", "npm_[A-Za-z0-9]{36}", 0.97, "npm_"),
    _token("pypi_token", "pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250}", 0.99, "pypi-AgEI"),
    _token("huggingface_token", "hf_[A-Za-z]{34}", 0.95, "hf_"),
    _token("twilio_key", "SK[0-9a-f]{32}", 0.85, "SK"),
    _token("sendgrid_key", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", 0.99, "SG."),
    _token(
        "jwt",
        r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{16,1000}",
        0.9,
        "eyJ",
    ),
    Pattern(
        "private_key",
        ("PRIVATE KEY",),
        re.compile(
            r"-----BEGIN (?:[A-Z]{2,9} )?PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s\\.]{0,12000}+"
            r"(?:-----END [A-Z ]{3,30}-----)?"
        ),
        0.99,
        is_private_key,
    ),
    Pattern(
        "connection_string",
        ("://",),
        re.compile(
            r"(?<![a-z])(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|ldaps?|s?ftp|https?)"
            r"(?:\+[a-z0-9]{2,12})?://[^\s:@/]{0,64}:([^\s:@/]{3,128})@[A-Za-z0-9\[]"
        ),
        0.9,
        is_password,
    ),
    Pattern(
        "named_secret",
        ("key", "secret", "token", "credential"),
        re.compile(rf"(?i)(?<![a-z]){_NAMES}{_ASSIGN}([A-Za-z0-9+/=_.~-]{{16,200}})(?![A-Za-z0-9(\[])"),
        0.7,
        is_random,
        fold=True,
    ),
    Pattern(
        "password",
        ("passw", "passphrase", "pwd"),
        re.compile(rf"(?i)(?<![a-z]){_PASSWORDS}{_ASSIGN}([^\s\"'`,;<>()\[\]{{}}]{{8,64}})(?![(\[])"),
        0.5,
        lambda value: (
            is_password(value)
            and any(map(str.isdigit, value))
            and any(map(str.isalpha, value))
            and entropy(value) >= 2.75
        ),
        fold=True,
    ),
)
