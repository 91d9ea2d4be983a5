"""Texts with made-up secrets, and look-alikes without: what the rule for secrets is measured on.

Every value is drawn at random in the shape that its provider documents; none was ever issued. The shapes include some
that the rule does not know, the look-alikes what fills logs, lock files and documentation.
"""

import base64
import json
import random
import string
import uuid
from collections.abc import Callable, Mapping
from hashlib import sha256

from detectors.manifest import Measurement
from detectors.rules.rule import Found
from detectors.training.data import Row

SET = "made-up secrets and look-alikes, ours"
LABEL = "privacy_violation"
EACH = 20  # texts of a kind
FROM = 0.5  # the score that counts as found

Make = Callable[[random.Random], str]

_ALNUM = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"
_URL = _ALNUM + "-_"
_B64 = _ALNUM + "+/"
_BASE32 = string.ascii_uppercase + "234567"
# fmt: off
_WORDS = (
    "harbour", "tulip", "ember", "falcon", "maple", "copper", "velvet", "orbit", "pepper", "saddle", "winter", "candle",
    "ginger", "pocket", "silver", "meadow", "thunder", "basket", "lantern", "cactus", "marble", "rocket", "sparrow",
    "willow",
)
# fmt: on
_USERS = ("admin", "deploy", "svc_backup", "postgres", "maria", "root", "ci-bot")
_HOSTS = ("db-1.prod.internal", "10.4.2.17", "mongo.eu-west.corp.net", "cache", "repo.acme-labs.dev")


def rows(seed: int = 7) -> list[Row]:
    """EACH texts of every kind, labelled 1 when they carry a secret; the same for the same seed."""
    rng = random.Random(seed)
    out = []
    for label, kinds in ((1, SECRETS), (0, LOOKALIKES)):
        for item, make in kinds.items():
            for _ in range(EACH):
                carrier = rng.choice(_CARRIERS) if "\n" not in (value := make(rng)) else "{}"
                out.append(Row(carrier.format(value), None, ("prompt", "response"), {LABEL: label}, SET, False, item))
    rng.shuffle(out)
    return out


def figures(find: Callable[[str], Found], date: str, seed: int = 7) -> list[Measurement]:
    """Recall and precision of a rule at the score FROM, over as many texts with a secret as stand in `rows`."""
    shown = rows(seed)
    flagged = [max(find(row.text).values(), default=0.0) >= FROM for row in shown]
    has_secret = [row.labels[LABEL] == 1 for row in shown]
    right = sum(found and real for found, real in zip(flagged, has_secret, strict=True))
    return [
        Measurement(SET, LABEL, f"response: {metric} at score {FROM}", round(right / count, 4), len(shown), date)
        for metric, count in (("recall", sum(has_secret)), ("precision", sum(flagged)))
    ]


_CARRIERS = (
    "{}",
    "Here is the configuration that fails for me:\n\n```\n{}\n```\nWhat is wrong with it?",
    "2026-03-14T09:12:44Z INFO worker-3 started with {} (pid 4711)",
    "Can you check this line for me? {}",
    "# settings\nDEBUG=false\nREGION=eu-central-1\n{}\nTIMEOUT=30\n",
    "I found this in the repository: `{}`. Is that a problem?",
    "Sure! Put the following into your file:\n\n    {}\n\nand restart the service.",
    "- step 1: clone the repository\n- step 2: set {}\n- step 3: run the tests",
    "diff --git a/app.py b/app.py\n-old\n+{}\n",
    '{{"event": "deploy", "note": "{}", "ok": true}}',
)


def _from(alphabet: str, size: int) -> Make:
    return lambda rng: "".join(rng.choices(alphabet, k=size))


def _shape(pattern: str, **parts: Make) -> Make:
    """`pattern` with each {name} drawn anew."""
    return lambda rng: pattern.format(**{name: make(rng) for name, make in parts.items()})


def _token(prefix: str, alphabet: str, size: int) -> Make:
    return lambda rng: prefix + "".join(rng.choices(alphabet, k=size))


def _named(*names: str, value: Make) -> Make:
    """An assignment in one of the usual forms."""
    forms = ("{}={}", '{} = "{}"', '"{}": "{}"', "{}: {}", "export {}={}", "--{} {}", "{}: '{}'")
    return lambda rng: rng.choice(forms).format(rng.choice(names), value(rng))


def _password(rng: random.Random) -> str:
    """As people choose them: words with digits and signs, or drawn by a manager."""
    words = [rng.choice(_WORDS) for _ in range(2)]
    return rng.choice(
        (
            words[0].capitalize() + str(rng.randint(10, 9999)) + rng.choice("!#$%&?"),
            f"{words[0]}-{words[1]}-{rng.randint(10, 99)}",
            words[0].replace("a", "4").replace("e", "3").capitalize() + rng.choice("!@#") + str(rng.randint(100, 999)),
            "".join(rng.choices(_ALNUM + "!#%&*+-?", k=rng.randint(10, 20))),
        )
    )


def _block(title: str, lines: int) -> Make:
    def make(rng: random.Random) -> str:
        body = "\n".join("".join(rng.choices(_B64, k=64)) for _ in range(lines))
        return f"-----BEGIN {title}-----\n{body}\n-----END {title}-----"

    return make


def _jwt(rng: random.Random) -> str:
    parts = (
        {"alg": "HS256", "typ": "JWT"},
        {"sub": str(rng.randint(10**5, 10**9)), "iat": rng.randint(10**9, 2 * 10**9)},
    )
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "".join(rng.choices(_URL, k=43))])


def _basic(rng: random.Random) -> str:
    pair = f"{rng.choice(_USERS)}:{_password(rng)}".encode()
    return "Authorization: Basic " + base64.b64encode(pair).decode()


def _url(scheme: str) -> Make:
    return lambda rng: (
        f"{scheme}://{rng.choice(_USERS)}:{_plain(rng)}@{rng.choice(_HOSTS)}:{rng.randint(1000, 9999)}/app"
    )


def _plain(rng: random.Random) -> str:
    """A password that needs no escape in a URL or a shell."""
    return "".join(rng.choices(_ALNUM, k=rng.randint(8, 18)))


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _digest(rng: random.Random) -> str:
    return sha256(rng.randbytes(16)).hexdigest()


def _base64(size: int) -> Make:
    return lambda rng: base64.b64encode(rng.randbytes(size)).decode()


_API_NAMES = (
    "OPENWEATHER_API_KEY",
    "api_key",
    "apiKey",
    "X-Api-Key",
    "clientSecret",
    "CLIENT_SECRET",
    "auth_token",
    "access_token",
)
_PASSWORD_NAMES = (
    "DB_PASSWORD",
    "password",
    "smtp_password",
    "dbPassword",
    "REDIS_PASSWORD",
    "spring.datasource.password",
)

SECRETS: Mapping[str, Make] = {
    "aws access key": _token("AKIA", _BASE32, 16),
    "aws secret": _shape("aws_secret_access_key = {k}", k=_from(_B64, 40)),
    "github": _token("ghp_", _ALNUM, 36),
    "github fine-grained": _shape("github_pat_{a}_{b}", a=_from(_ALNUM, 22), b=_from(_ALNUM, 59)),
    "gitlab": _token("glpat-", _URL, 20),
    "slack bot": _shape(
        "xoxb-{a}-{b}-{c}", a=_from(string.digits, 12), b=_from(string.digits, 13), c=_from(_ALNUM, 24)
    ),
    "slack webhook": _shape(
        "https://hooks.slack.com/services/T{a}/B{b}/{c}", a=_from(_UPPER, 8), b=_from(_UPPER, 10), c=_from(_ALNUM, 24)
    ),
    "openai project": _token("sk-proj-", _URL, 74),
    "openai old": _token("sk-", _ALNUM, 48),
    "anthropic": _token("sk-ant-api03-", _URL, 93),
    "google": _token("AIza", _URL, 35),
    "google oauth": _token("GOCSPX-", _URL, 28),
    "stripe": _token("sk_live_", _ALNUM, 24),
    "npm": _token("npm_", _ALNUM, 36),
    "hugging face": _token("hf_", string.ascii_letters, 34),
    "twilio": _token("SK", _HEX, 32),
    "sendgrid": _shape("SG.{a}.{b}", a=_from(_URL, 22), b=_from(_URL, 43)),
    "telegram": _shape("{a}:AA{b}", a=_from("123456789", 10), b=_from(_URL, 33)),
    "discord": _shape("M{a}.{b}.{c}", a=_from(_ALNUM, 23), b=_from(_URL, 6), c=_from(_URL, 38)),
    "shopify": _token("shpat_", _HEX, 32),
    "databricks": _token("dapi", _HEX, 32),
    "digitalocean": _token("dop_v1_", _HEX, 64),
    "mailgun": _token("key-", _HEX, 32),
    "vault": _token("hvs.", _URL, 90),
    "azure storage": _shape(
        "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={k}==;EndpointSuffix=core.windows.net",
        k=_from(_B64, 86),
    ),
    "private key": _block("RSA PRIVATE KEY", 12),
    "ssh key": _block("OPENSSH PRIVATE KEY", 6),
    "jwt": _jwt,
    "bearer": _shape("Authorization: Bearer {t}", t=_from(_ALNUM, 40)),
    "basic": _basic,
    "postgres url": _url("postgresql"),
    "mongo url": _url("mongodb"),
    "redis url": _url("redis"),
    "git url": _url("https"),
    "named key": _named(*_API_NAMES, value=_from(_ALNUM, 32)),
    "named hex key": _named(*_API_NAMES, value=_from(_HEX, 40)),
    "named uuid key": _named("HEROKU_API_KEY", "api-key", "subscriptionKeySecret", value=_uuid),
    "named password": _named(*_PASSWORD_NAMES, value=_password),
    "password in prose": _shape("the password is {p}", p=_password),
    "curl user": _shape(
        "curl -u {u}:{p} https://api.shop.internal/v2/orders", u=lambda rng: rng.choice(_USERS), p=_plain
    ),
    "netrc": _shape("machine repo.acme-labs.dev login ci-bot password {p}", p=_plain),
    "sshpass": _shape("sshpass -p '{p}' ssh deploy@10.4.2.17", p=_plain),
    "ado.net": _shape("Server=10.4.2.17;Database=shop;User Id=sa;Password={p};", p=_plain),
    # Shapes that nothing above names: as a scanner meets them in the wild.
    "bare generic": _shape("use {k} for the sandbox account", k=_from(_ALNUM, 40)),
    "wordy passphrase": lambda rng: "passphrase: " + " ".join(rng.sample(_WORDS, 5)),
    "pin": lambda rng: f"the door code is {rng.randint(1000, 9999)}",
    "split token": lambda rng: '"ghp_" + "' + '" + "'.join("".join(rng.choices(_ALNUM, k=12)) for _ in range(3)) + '"',
}

LOOKALIKES: Mapping[str, Make] = {
    "uuid": _uuid,
    "request id": _shape("request_id={u} trace={t}", u=_uuid, t=_from(_HEX, 32)),
    "git commit": _shape("commit {h}", h=_from(_HEX, 40)),
    "sha256 sum": _shape("{h}  release-1.4.2.tar.gz", h=_digest),
    "image digest": _shape("python@sha256:{h}", h=_digest),
    "npm lock": _shape('"integrity": "sha512-{b}",', b=_base64(64)),
    "poetry lock": _shape('{{file = "idna-3.7-py3-none-any.whl", hash = "sha256:{h}"}},', h=_digest),
    "cargo lock": _shape('checksum = "{h}"', h=_digest),
    "go sum": _shape("golang.org/x/sys v0.20.0 h1:{b}", b=_base64(32)),
    "subresource integrity": _shape('<script src="/a.js" integrity="sha384-{b}"></script>', b=_base64(48)),
    "etag": _shape('ETag: "{h}-1f4"', h=_from(_HEX, 32)),
    "object id": _shape('"_id": "{h}"', h=_from(_HEX, 24)),
    "bucket path": _shape("s3://acme-backups/2026/03/{h}/part-00017.parquet", h=_from(_HEX, 16)),
    "pod name": _shape("checkout-api-{a}-{b}", a=_from(_HEX, 10), b=_from(string.ascii_lowercase + string.digits, 5)),
    "image data": _shape('<img src="data:image/png;base64,iVBORw0KGgo{b}">', b=_from(_B64, 80)),
    "ethereum address": _token("0x", _HEX, 40),
    "public key": _block("PUBLIC KEY", 5),
    "certificate": _block("CERTIFICATE", 12),
    "ssh public key": _shape("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{k} maria@laptop", k=_from(_B64, 43)),
    "publishable key": _token("pk_live_", _ALNUM, 24),
    "client id": _shape(
        "client_id={a}-{b}.apps.googleusercontent.com", a=_from(string.digits, 12), b=_from(_ALNUM, 32)
    ),
    "key id": _named("kid", "key_id", "aws_kms_key_id", "partition_key", "idempotency-key", value=_uuid),
    "secret's name": _named(
        "secretName",
        "secret_name",
        "password_hash_type",
        "token_endpoint",
        "key_file",
        value=_shape("shop-prod-{a}", a=_from(_HEX, 8)),
    ),
    "token counts": lambda rng: (
        f"prompt_tokens: {rng.randint(10, 9999)}, max_token_length = {rng.randint(1000, 128000)}"
    ),
    "environment": lambda rng: rng.choice(
        (
            "api_key = os.environ['API_KEY']",
            "password: ${DB_PASSWORD}",
            "token={{ vault_token }}",
            "apiKey: process.env.OPENAI_API_KEY",
            "const token = await getAccessToken(userId)",
            "secret = settings.SECRET_KEY",
        )
    ),
    "placeholder": lambda rng: rng.choice(
        (
            "OPENAI_API_KEY=sk-your-key-here",
            "password=<your password>",
            "token: xxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_" + "x" * 36,
            "AKIA" + "IOSFODNN7EXAMPLE",
            "api_key = 'YOUR_API_KEY_GOES_HERE'",
            "password: changeme123",
            "postgres://user:password@localhost:5432/db",
            "redis://:${REDIS_PASSWORD}@cache:6379",
        )
    ),
    "policy on passwords": lambda rng: (
        f"Your password must have at least {rng.randint(8, 16)} characters and one digit; tokens expire after "
        f"{rng.randint(5, 90)} minutes."
    ),
    "password prose": lambda rng: rng.choice(
        (
            "I forgot my password: can you help me reset it?",
            "The password is required before the second step.",
            "password: string, minLength 12",
            "def check_password(password: str) -> bool:",
            "passwd -l olduser",
            "The secret is consistency, and the key is patience.",
            "Token-based authentication: how does it work?",
        )
    ),
    "base64 greeting": lambda rng: base64.b64encode(
        f"Hello {rng.choice(_WORDS)}, this is only a greeting".encode()
    ).decode(),
    "colours and ids": lambda rng: " ".join("#" + "".join(rng.choices(_HEX, k=6)) for _ in range(5)),
    "cache key": _shape("cache_key: user:{n}:cart:{h}", n=_from(string.digits, 6), h=_from(_HEX, 12)),
    "version string": lambda rng: (
        f"token-classifier-v{rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}-rc{rng.randint(1, 9)}"
        f"+build.{rng.randint(100, 9999)}"
    ),
    "nonce": _shape("Content-Security-Policy: script-src 'nonce-{b}'", b=_base64(16)),
    "session id": _shape("[session {h}] user logged out", h=_from(_HEX, 26)),
    "order numbers": lambda rng: (
        f"order {rng.randint(10**9, 10**10)}, invoice INV-{rng.randint(10**5, 10**6)}, "
        f"tracking 1Z{''.join(rng.choices(_UPPER, k=16))}"
    ),
    "isbn": lambda rng: (
        f"ISBN 978-{rng.randint(0, 9)}-{rng.randint(100, 999)}-{rng.randint(10000, 99999)}-{rng.randint(0, 9)}"
    ),
}
