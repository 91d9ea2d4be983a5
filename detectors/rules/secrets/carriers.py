"""Forms that contain a secret: URLs, headers, commands, files of credentials, cookies, phrases of wallets."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detectors.rules.secrets.candidate import A_PIECE, Candidate
from detectors.rules.secrets.values import decoded_pair, is_chosen, is_expression, is_generated, is_uuid

Judge = Callable[[str, re.Match[str]], bool]  # of the value as it stands in the text, and of the match beside it


@dataclass(frozen=True, slots=True)
class Carrier:
    """One form. At each of the literal `anchors` in the text in lower case the expression is tried, never elsewhere.

    Its group `v` is the secret. `from_line`: it is tried where the line begins instead. `means`: what the value says,
    which is compared with specimens.
    """

    label: str
    anchors: tuple[str, ...]
    expression: re.Pattern[str]
    confidence: float
    accept: Judge
    from_line: bool = False
    means: Callable[[str], str] = str


def _generated(value: str, match: re.Match[str]) -> bool:
    return is_generated(value) and not is_expression(value)


def _password(value: str, match: re.Match[str]) -> bool:
    """Whether it is not a variable: everything else in this place is a secret."""
    return len(value) >= 4 and not is_expression(value) and len(set(value)) > 2


def _any(value: str, match: re.Match[str]) -> bool:
    """Whether it has more than four different characters: the form tells the rest."""
    return len(set(value)) > 4


_DEFAULTS = frozenset((
    "password", "pass", "passwd", "pwd", "secret", "postgres", "root", "admin", "guest", "test", "user", "mysql",
    "redis", "mongo", "rabbitmq", "tiger", "minio", "minioadmin", "neo4j", "elastic", "changeme", "username",
    "token", "api", "key", "xxx", "foo", "bar", "dev", "local", "sa", "app", "db", "cassandra",
))  # fmt: skip
_HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.", "host", "db", "postgres", "mysql", "redis", "mongo")
_DEFAULT = re.compile(r"(?:user|pass|test|my|your)?(?:password|passwd|pass|pw|pwd)\d{0,3}")


def _url_password(value: str, match: re.Match[str]) -> bool:
    """Whether it is not a variable, a default of tutorials, or the user's name again on the local machine."""
    lowered = value.lower()
    if (
        (len(value) < 6 and value.isalpha() and value.islower())
        or lowered in _DEFAULTS
        or _DEFAULT.fullmatch(lowered)
        or re.match(r"\d{2,5},", value)
    ):  # ports of several hosts
        return False
    return _password(value, match) and not (lowered == match["user"] and match["host"].startswith(_HERE))


def _url_token(value: str, match: re.Match[str]) -> bool:
    """Whether it is not a key that reports errors to Sentry: every browser gets those."""
    return "sentry" not in match["host"] and _generated(value, match)


def _pair(value: str, match: re.Match[str]) -> bool:
    pair = decoded_pair(value)
    return pair is not None and (pair[1] or pair[0]).lower() not in _DEFAULTS | {"open sesame"}


def _said_in(value: str) -> str:
    """The password of a pair `user:password` in base64; any other value as it is."""
    pair = decoded_pair(value)
    return pair[1] if pair else value


def _token_or_chosen(value: str, match: re.Match[str]) -> bool:
    return _generated(value, match) or (is_chosen(value) and not is_expression(value))


def _phrase(value: str, match: re.Match[str]) -> bool:
    """As many words as a wallet gives, hardly one twice, and none of those that no list has."""
    words = re.findall(r"[a-z]{3,8}", value)
    return len(words) >= 12 and len(set(words)) >= len(words) - 1


# Words of sentences that are in no list of seeds.
_NO_SEEDS = (
    "the|and|for|with|from|are|was|has|have|not|but|its|our|out|had|his|her|him|she|they|them|than|then|were|been"
    "|which|while|"
    "also|into|your|these|those|their|each|per|via|how|words|please"
)


def _carrier(label: str, confidence: float, anchors: str, expression: str, accept: Judge = _password) -> Carrier:
    means = _said_in if accept is _pair else str
    return Carrier(label, tuple(anchors.split("|")), re.compile(expression), confidence, accept, means=means)


_ARGUMENT = r"[\"']?(?P<v>(?<=\")[^\"\n]{4,128}(?=\")|(?<=')[^'\n]{4,128}(?=')|[^\s\"'`<>|;]{4,128})"
_SEED = rf"(?!(?:{_NO_SEEDS})\b)[a-z]{{3,8}}(?![a-z])"
_GAP = r"(?:[ ,]{1,3}|[ \t]{0,3}\r?\n\s{0,3})(?:\(?\d{1,2}[.):] ?)?"

CARRIERS = (
    _carrier(
        "connection_string",
        0.9,
        "://",
        r"://(?P<user>[^\s:@/\"'<>`]{0,64}):(?P<v>[^\s/\"'<>`]{3,128})@(?P<host>[\w\[][\w.\[\]:-]{0,64})",
        _url_password,
    ),
    _carrier(
        "access_token",
        0.9,
        "://",
        r"(?<=http|ttps)://(?P<v>[a-z0-9_.~-]{20,255})(?::x-oauth-basic)?@(?P<host>[\w.-]{3,64})",
        _url_token,
    ),
    _carrier(
        "access_token",
        0.85,
        "appid=|app_id=|x-amz-signature=|x-goog-signature=",
        r"(?:app_?id|x-\w{3,4}-signature)=(?P<v>[0-9a-f]{32,512}+)(?![0-9a-z])",
        _generated,
    ),
    _carrier("bearer_token", 0.85, "bearer", r"bearer\s{1,3}(?P<v>[a-z0-9._~+/-]{20,}+={0,2})", _generated),
    _carrier(
        "auth_header",
        0.85,
        "authorization",
        r"authorization[\"']?\s{0,2}[:=,]\s{0,2}[\"'`]?(?:(?:token|apikey|api-key|key|geniekey|ssws|splunk|bot"
        r"|access|secret|personal|private)[ =]{1,2})?(?P<v>[a-z0-9._~+/-]{16,}+={0,2})",
        _generated,
    ),
    _carrier("basic_auth", 0.85, "basic ", r"basic\s{1,3}(?P<v>[a-z0-9+/]{8,}+={0,2})(?![a-z0-9+/=])", _pair),
    _carrier(
        "basic_auth",
        0.9,
        "auth\"|auth'|auth=|auth =|auth:",
        r"auth[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?P<v>[a-z0-9+/]{8,}+={0,2})(?![a-z0-9+/=])",
        _pair,
    ),
    _carrier(
        "password",
        0.85,
        "curl ",
        r"curl\s[^\n]{0,200}?(?<=\s)(?:-u|--user)["
        r" =]{0,2}[\"']?(?P<user>[^\s:\"']{1,64}):(?P<v>[^\s\"']{4,64})(?=[\s\"']|$)",
    ),
    _carrier(
        "password",
        0.85,
        "docker login|podman login|registry login",
        r"\w{1,8} login\s[^\n]{0,120}?(?<=\s)-p[ =]?" + _ARGUMENT,
    ),
    _carrier(
        "password",
        0.85,
        "mysql |mysqldump |mysqladmin |mariadb ",
        r"m\w{4,9}\s[^\n]{0,120}?(?<=\s)-p(?P<v>[^\s\"'`<>|;]{4,64})",
    ),
    _carrier("password", 0.85, "redis-cli ", r"redis-cli\s[^\n]{0,120}?(?<=\s)(?:-a|--pass)[ =]{1,2}" + _ARGUMENT),
    _carrier("password", 0.9, "sshpass ", r"sshpass\s{1,2}-p ?" + _ARGUMENT),
    _carrier("password", 0.85, "ldap", r"ldap\w{3,10}\s[^\n]{0,200}?(?<=\s)-w[ =]?" + _ARGUMENT),
    _carrier(
        "password",
        0.85,
        "htpasswd ",
        r"htpasswd\s{1,2}-\w{0,4}b\w{0,4}\s{1,2}\S{1,80}\s{1,2}\S{1,64}\s{1,2}(?P<v>\S{4,64})",
    ),
    _carrier(
        "password",
        0.85,
        "net user ",
        r"net user\s{1,2}[\w.$\\-]{1,40}\s{1,2}(?P<v>[^\s/*\"'`][^\s\"'`]{3,127})(?:\s{1,2}/\w|\s*(?:\n|$))",
        _token_or_chosen,
    ),
    _carrier(
        "password",
        0.85,
        "net use ",
        r"net use\s[^\n]{0,120}?/user:[\w.$\\@-]{1,60}\s{1,2}(?P<v>[^\s\"'/*]{4,64})",
        _token_or_chosen,
    ),
    _carrier(
        "named_secret",
        0.8,
        "secret set |secrets set |secret put ",
        r"secrets? (?:set|put)\s[^\n]{0,80}?\s(?:--body|--value|-b)[ =]{1,2}" + _ARGUMENT,
        _generated,
    ),
    _carrier("password", 0.85, "psk=|psk =", r"psk ?= ?[\"'](?P<v>[^\"'\n]{8,63})[\"']", _token_or_chosen),
    _carrier("password", 0.85, "smbclient ", r"smbclient[^\n]{0,120}?-u ?[\"']?[\w.\\-]{1,40}%(?P<v>[^\s\"']{4,64})"),
    _carrier(
        "password",
        0.85,
        "auth=(|auth = (|basicauth(|digestauth(",
        r"(?:auth\s?=\s?|\w{5,6}auth)\(\s{0,2}[\"'][^\"'\n]{1,64}[\"'],\s{0,2}[\"'](?P<v>[^\"'\n]{4,128})[\"']",
    ),
    _carrier(
        "password",
        0.9,
        "identified ",
        r"identified\s(?:with\s\S{1,40}\s)?by(?:\spassword)?\s{1,3}[\"'](?P<v>[^\"'\n]{4,128})[\"']",
        _token_or_chosen,
    ),
    _carrier(
        "password", 0.9, "password '|password \"", r"password\s{1,3}[\"'](?P<v>[^\"'\n]{4,128})[\"']", _token_or_chosen
    ),
    _carrier(
        "password",
        0.8,
        "requirepass |masterauth ",
        r"(?:requirepass|masterauth)\s{1,4}[\"']?(?P<v>[^\s\"']{4,128})",
        _token_or_chosen,
    ),
    _carrier(
        "password",
        0.9,
        "login ",
        r"login\s{1,8}\S{1,64}\s{1,8}(?:account\s{1,4}\S{1,64}\s{1,8})?password\s{1,8}(?P<v>\S{4,128})",
        _token_or_chosen,
    ),
    _carrier(
        "password",
        0.8,
        "convertto-securestring ",
        r"convertto-securestring\s{1,2}(?:-string\s{1,2})?[\"'](?P<v>[^\"'\n]{4,128})[\"']",
    ),
    _carrier(
        "password",
        0.85,
        "<input ",
        r"<input\s(?=[^>\n]{0,300}?type=[\"']password)[^>\n]{0,300}?\svalue=[\"'](?P<v>[^\"'\n]{4,128})[\"']",
        _token_or_chosen,
    ),
    _carrier(
        "azure_sas",
        0.9,
        "?sv=|?se=|?sp=|?sr=|?st=|?spr=|?si=|signature sr=",
        r"(?:\?s|signature s)[^\s\"'<>]{0,400}?&sig=(?P<v>[a-z0-9%+/=]{40,}+)",
        lambda value, match: is_generated(value),
    ),
    _carrier(
        "azure_key",
        0.9,
        "azurewebsites.net/",
        r"azurewebsites\.net/[^\s\"'<>]{0,200}?[?&]code=(?P<v>[a-z0-9_%+/-]{30,}+={0,2})",
        _generated,
    ),
    _carrier(
        "totp_secret", 0.95, "otpauth://", r"otpauth://[^\s\"'<>]{0,200}?[?&]secret=(?P<v>[a-z2-7]{16,128}+)", _any
    ),
    _carrier("opsgenie_key", 0.95, "geniekey ", r"geniekey (?P<v>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", _any),
    _carrier(
        "paypal_token",
        0.97,
        "access_token$",
        r"(?P<v>access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32})",
        _any,
    ),
    _carrier(
        "convex_key",
        0.95,
        "prod:|dev:|preview:",
        r"(?P<v>(?:prod|dev|preview):[a-z0-9-]{3,64}\|[a-z0-9+/=_-]{40,}+)",
        _any,
    ),
    _carrier("azure_key", 0.97, "accountkey=|accesskey=", r"\w{6,7}key=(?P<v>[a-z0-9+/_-]{40,}+={0,2})", _generated),
    _carrier(
        "json_web_key",
        0.95,
        "\"d\"|'d'|\"k\"|'k'",
        r"[\"'][dk][\"']\s{0,3}:\s{0,3}[\"'](?P<v>[a-z0-9_-]{32,}+)[\"']",
        _generated,
    ),
    _carrier(
        "seed_phrase",
        0.95,
        "phrase|mnemonic|seed",
        rf"\w{{4,10}}[^\n:=]{{0,40}}?(?:[:=]|\bis\b)[\s\"'`*]{{0,6}}(?P<v>(?:\(?1[.):]"
        rf" ?)?{_SEED}(?:{_GAP}{_SEED}){{11,23}})",
        _phrase,
    ),
    Carrier(
        "password",
        ("sudo -s", "sudo --stdin"),
        re.compile(r"[^\n|]{0,80}?echo\s{1,3}[\"']?(?P<v>[^\s\"'|]{4,64})[\"']?\s{0,2}\|\s{0,2}sudo\s"),
        0.8,
        _token_or_chosen,
        from_line=True,
    ),
    Carrier(
        "password",
        (":5432:", ":5433:", ":6432:", ":*:"),
        re.compile(r"[\w.*-]{1,80}:(?:\d{2,5}|\*):[\w*.-]{1,64}:[\w*.-]{1,64}:(?P<v>[^\s:]{4,128})(?=\s|$)"),
        0.8,
        _password,
        from_line=True,
    ),
)
_COOKIE = re.compile(r"cookies?[\"']?\s{0,2}[:=]\s{0,2}(?P<pairs>[^\n]{16,4000})")
_SESSION = re.compile(
    r"(?<![\w.-])(?:[\w.-]{0,24}?(?:sess(?:ion)?|auth|token|jwt|login|remember)[\w.-]{0,24}|sid"
    r"|[\w.-]{1,16}[._-]sid|jsessionid)"
    r"=(?P<v>(?:s%3a)?[a-z0-9._%+/=-]{16,}+)"
)


def carried(text: str, lowered: str) -> Iterator[Candidate | None]:
    """Every secret in a form of the table, and the sessions of cookies; None for a pause.

    `lowered`: the text in lower case.
    """
    for carrier in CARRIERS:
        for anchor in carrier.anchors:
            yield from _at_anchors(text, lowered, carrier, anchor)
        yield None
    yield from _sessions(text, lowered)


def _at_anchors(text: str, lowered: str, carrier: Carrier, anchor: str) -> Iterator[Candidate | None]:
    at = lowered.find(anchor)
    tried = 0
    while at >= 0:
        tried += 1
        if not tried % A_PIECE:
            yield None
        start = max(lowered.rfind("\n", at - 200, at) + 1, at - 200, 0) if carrier.from_line else at
        match = carrier.expression.match(lowered, start)
        if match is not None and carrier.accept(text[slice(*match.span("v"))], match):
            value = carrier.means(text[slice(*match.span("v"))])
            yield Candidate(*match.span("v"), carrier.label, carrier.confidence, value)
            at = max(at, match.end("v") - 1)
        at = lowered.find(anchor, at + 1)


def _sessions(text: str, lowered: str) -> Iterator[Candidate]:
    """The values of a cookie header that keep somebody logged in."""
    if "cookie" in lowered:
        for header in _COOKIE.finditer(lowered):
            for match in _SESSION.finditer(lowered, *header.span("pairs")):
                value = text[slice(*match.span("v"))]
                if is_uuid(value) or is_generated(value):
                    yield Candidate(*match.span("v"), "cookie", 0.75, value)
