"""Secrets in a text: provider tokens, private keys, connection strings, and named values with high entropy.

Token shapes are those the providers document. Nothing is checked online: a match says that the text carries
something of that shape which is no known example.
"""

import base64
import binascii
import re

from detectors.rules.patterns import Pattern, entropy, pattern_rule

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


def is_chosen_password(value: str) -> bool:
    """A password that is no word: digits or signs among its letters."""
    body = value.rstrip(".!?:")
    mixed = any(map(str.isalpha, body)) and any(
        not character.isalpha() and character not in "_-./" for character in body
    )
    return is_password(value) and mixed and entropy(value) >= 2.75 and "://" not in value and not value.endswith("()")


def is_basic(value: str) -> bool:
    """`user:password` in base64, as HTTP's basic authentication sends it (RFC 7617)."""
    try:
        pair = base64.b64decode(value + "=" * (-len(value) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return False
    user, colon, password = pair.partition(":")
    return bool(user and colon) and pair.isprintable() and is_password(password or user)


def is_private_key(value: str) -> bool:
    """A key block with a body, not only its header."""
    body = value.split("-----")[2]
    return len(body.strip()) >= 60 and "..." not in body


def _token(label: str, expression: str, confidence: float, *hints: str) -> Pattern:
    anchored = re.compile(rf"(?<![A-Za-z0-9_-])(?:{expression})(?![A-Za-z0-9])")
    return Pattern(label, hints, anchored, confidence, is_token)


# At the start of a name or of a part of one (`db_password`, `clientSecret`).
_PART = r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))"
_NAMES = (
    r"(?i:api[_-]?key|secret|token|access[_-]?key|account[_-]?key|auth[_-]?key|client[_-]?key|private[_-]?key|"
    r"credential)s?"
)
_PASSWORDS = r"(?i:password|passwd|passphrase|passwort|contraseña|mot de passe|pwd)"
# What a name ends in that stands for something else than the secret itself.
_NO_SECRET = (
    r"(?![\w-]{0,12}(?i:ids?|name|hash|sha\d{0,3}|type|url|uri|path|arn|endpoint|file|version|ref|digest|prefix|count|"
    r"limit|length|policy|hint)\b)"
)
_ASSIGN = rf"{_NO_SECRET}[\w-]{{0,16}}[\"'`\]]?\s{{0,3}}(?:=>|:=|==?|:|\bis\b)\s{{0,3}}[\"'`]?"

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
    _token("slack_token", r"xapp-\d-[A-Z0-9]{9,13}-\d{10,14}-[a-f0-9]{64}", 0.97, "xapp-"),
    _token("telegram_token", r"\d{8,10}:AA[A-Za-z0-9_-]{33}", 0.97, ":AA"),
    _token("discord_token", r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}", 0.9, "."),
    _token("discord_webhook", r"discord(?:app)?\.com/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{60,72}", 0.97, "/webhooks/"),
    _token("mailgun_key", "key-[0-9a-f]{32}", 0.9, "key-"),
    _token("mailchimp_key", r"[0-9a-f]{32}-us\d{1,2}", 0.95, "-us"),
    _token("shopify_token", "shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}", 0.99, "shp"),
    _token("square_token", "sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}", 0.97, "sq0"),
    _token("databricks_token", "dapi[0-9a-f]{32}(?:-\\d)?", 0.97, "dapi"),
    _token("digitalocean_token", "do[opr]_v1_[0-9a-f]{64}", 0.99, "_v1_"),
    _token("vault_token", r"hv[sb]\.[A-Za-z0-9_-]{24,200}", 0.97, "hvs.", "hvb."),
    _token("linear_key", "lin_api_[A-Za-z0-9]{40}", 0.99, "lin_api_"),
    _token("notion_token", "(?:secret_|ntn_)[A-Za-z0-9]{40,50}", 0.9, "secret_", "ntn_"),
    _token("postman_key", "PMAK-[0-9a-f]{24}-[0-9a-f]{34}", 0.99, "PMAK-"),
    _token("new_relic_key", "NRAK-[A-Z0-9]{27}", 0.99, "NRAK-"),
    _token("grafana_token", "gl(?:sa|c)_[A-Za-z0-9+/=_-]{32,200}", 0.97, "glsa_", "glc_"),
    _token("atlassian_token", "ATATT3[A-Za-z0-9_=-]{80,220}", 0.99, "ATATT3"),
    _token("age_key", "AGE-SECRET-KEY-1[0-9A-Z]{58}", 0.99, "AGE-SECRET-KEY-1"),
    _token(
        "api_key",
        "gsk_[A-Za-z0-9]{40,60}|r8_[A-Za-z0-9]{37}|pplx-[A-Za-z0-9]{48}|xai-[A-Za-z0-9]{60,90}",
        0.97,
        "gsk_",
        "r8_",
        "pplx-",
        "xai-",
    ),
    _token("doppler_token", r"dp\.(?:pt|st|ct|sa)\.[A-Za-z0-9._-]{40,60}", 0.97, "dp."),
    _token("sentry_token", "sntry[su]_[A-Za-z0-9+/=_-]{40,300}", 0.99, "sntry"),
    _token("terraform_token", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}", 0.99, ".atlasv1."),
    _token("planetscale_token", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,64}", 0.99, "pscale_"),
    Pattern(
        "azure_key",
        ("AccountKey", "SharedAccessKey"),
        re.compile(r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{43,88}={0,2})"),
        0.97,
        is_token,
    ),
    Pattern(
        "bearer_token",
        ("bearer ",),
        re.compile(r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/-]{20,500}={0,2})"),
        0.7,
        is_random,
        fold=True,
    ),
    Pattern(
        "basic_auth",
        ("basic ",),
        re.compile(r"(?i)\bbasic\s{1,3}([A-Za-z0-9+/]{8,200}={0,2})(?![A-Za-z0-9+/=])"),
        0.85,
        is_basic,
        fold=True,
    ),
    Pattern(
        "password",
        ("curl",),
        re.compile(r"\bcurl\s[^\n]{0,200}?(?:-u|--user)[ =]{1,2}[\"']?[^\s:\"']{1,64}:([^\s\"'@]{4,64})"),
        0.8,
        is_password,
    ),
    Pattern(
        "password",
        ("sshpass", "mysql", "PGPASSWORD"),
        re.compile(
            r"(?:\bsshpass\s-p\s?|\bmysql(?:dump)?\s[^\n]{0,80}?\s-p(?=\S)|\bPGPASSWORD=)[\"']?([^\s\"']{6,64})"
        ),
        0.8,
        is_password,
    ),
    Pattern(
        "password",
        ("machine ",),
        re.compile(r"\bmachine\s{1,4}\S{1,80}\s{1,4}login\s{1,4}\S{1,64}\s{1,4}password\s{1,4}(\S{4,64})"),
        0.9,
        is_password,
    ),
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
        re.compile(rf"{_PART}{_NAMES}{_ASSIGN}([A-Za-z0-9+/=_.~-]{{16,200}})(?![A-Za-z0-9(\[])"),
        0.7,
        is_random,
        fold=True,
    ),
    Pattern(
        "password",
        ("passw", "passphrase", "pwd", "contraseña", "mot de passe"),
        re.compile(rf"{_PART}{_PASSWORDS}{_ASSIGN}([^\s\"'`,;<>()\[\]{{}}]{{7,64}})(?![(\[])"),
        0.5,
        is_chosen_password,
        fold=True,
    ),
)

RULE = pattern_rule("privacy_violation", PATTERNS)
