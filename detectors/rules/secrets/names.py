"""Names that people and programs give to secrets, in English and twenty other languages, and those that look so."""

import re
from dataclasses import dataclass
from enum import Enum


class Family(Enum):
    """What a name promises: something drawn by a machine, or something that a person may have chosen."""

    KEY = "named_secret"
    PASSWORD = "password"


@dataclass(frozen=True, slots=True)
class Head:
    """The word that a name ends in or turns on, in lower case.

    `root` must stand in the text. `before` must fit what stands in front of it, `not_before` must not. `certain`: a
    UUID behind it is a secret too.
    """

    root: str
    expression: re.Pattern[str]
    family: Family
    certain: bool = True
    before: re.Pattern[str] | None = None
    not_before: re.Pattern[str] | None = None


def _head(root: str, expression: str, family: Family, **more: re.Pattern[str] | bool) -> Head:
    return Head(root, re.compile(expression), family, **more)  # type: ignore[arg-type]


_KEYED = re.compile(
    r"(?:api|access|secret|private|auth|authentication|account|client|encryption|encrypt|signing|signature|master"
    r"|shared|"
    r"subscription|service|storage|admin|deploy|app|application|session|webhook|write|read|rest|server"
    r"|personal|sas|"
    r"hmac|aes|jwt|root|security|integration|ingest|cipher|wallet|developer|pre[ _-]?shared|wi-?fi|network|vpn"
    r"|recovery|"
    r"license|bearer|secret[ _-]access|host|instrumentation|functions?|"
    r"(?:^|[\s\"'])x-(?:[a-z]{2,16}-){0,3}[a-z]{2,16})(?:[ _.-]{0,2}|['’]s )$"
)
# NAME_KEY=…: what such keys in capitals are when they are no secrets.
_CAPITALS = re.compile(r"(?:^|[\s\"'`$;{(,-])[a-z][a-z0-9_]*_$")
_OPEN_KEYS = re.compile(
    r"(?:public|pub|publishable|primary|foreign|partition|sort|cache|row|index|idempotency|unique|lookup|hash"
    r"|object|site|"
    r"routing|dedup|group|merge|join|state|map|hot|arrow|enter|dict|search|metric|feature|config|registry|redis"
    r"|sentinel|"
    r"kms|ssh|gpg|signing_public|context|event|message|field|option|param|meta|attr|label|tag|data|json|schema"
    r"|session_cache|"
    r"host|known|next|last|first|start|end|min|max|resource|filter|order)_$"
)
_NO_TOKENS = re.compile(
    r"(?:public[ _-]?key|"
    r"page|next|prev|previous|paging|pagination|continuation|cont|cursor|sync|resume|skip|idempotency|idempotent"
    r"|request|"
    r"client|cancel|cancellation|csrf|xsrf|middleware|max|min|num|number of|total|prompt|completion|input|output"
    r"|eos|bos|pad|"
    r"unk|mask|sep|cls|special|stop|start|end|syntax|nft|erc-?\d{1,5}|usdc|usdt|dai|weth|contract|position|offset"
    r"|change|watch|"
    r"upload|scroll|search|query|response|cached|reasoning|per|each|image|audio|text|string|lexer|parser|nonce|receipt|"
    r"promotion|snapshot|lock|fencing|checkpoint|concurrency|version|etag|marker|stream|iterator|starting|ending|update|unit|shard|list|export"
    r"|import|"
    r"consistency|read|write|transaction|operation|task|job)[ _-]?$"
)
_CERTAIN_TOKENS = re.compile(
    r"(?:access|auth|api|bearer|refresh|bot|session|security|deploy|personal|admin|service|account|registry|publish|"
    r"npm|github|gitlab|slack|vault|x-auth|private|secret|login|installation|runner|server|snyk|codecov|coveralls|railway"
    r"|wise|heroku|netlify|rollbar|sentry)[ _-]?$"
)
_NO_SECRETS = re.compile(r"(?:secretsmanager:[\w:-]*|kubectl (?:get|describe) |image[ _]?pull[ _]?)$")
_GERMAN_KEYS = re.compile(r"(?:api|geheime?[rn]?|zugangs|zugriffs|private?[rn]?|secret|access)[ -]?$")
_DUTCH_KEYS = re.compile(r"(?:api|geheime|toegangs|private)[- ]?$")
_CODES = re.compile(r"(?:recovery|backup|unlock)[ _-]?$")
_TYPES = re.compile(r"::\w*$")  # AWS::ApiGateway::ApiKey
_FREE = re.compile(r"(?:^|[^a-z])$")
K, P = Family.KEY, Family.PASSWORD

HEADS = (
    _head("pass", r"pass(?:words?|wds?|[ -]?phrases?|codes?|wort|wörter|ord)", P),
    _head(
        "pass",
        r"pass(?![a-z])",
        P,
        before=re.compile(r"(?:[^a-z.]|(?:db|smtp|mail|ftp|user|admin|root|mysql|my|the))$|^$"),
    ),
    _head("pwd", r"pwd", P, not_before=re.compile(r"(?:old|[$/])$")),
    _head("pw", r"pw(?![a-z])", P, before=_FREE),
    _head("secret", r"secrets?(?:[ _-]?access)?(?:[ _-]?keys?)?", K, not_before=_NO_SECRETS),
    _head("token", r"tokens?(?![a-z]{2})", K, before=_CERTAIN_TOKENS),
    _head("token", r"tokens?(?![a-z]{2})", K, certain=False, not_before=_NO_TOKENS),
    _head("key", r"keys?(?![a-z])", K, before=_KEYED, not_before=_TYPES),
    _head("key", r"key(?![a-z])", K, certain=False, before=_CAPITALS, not_before=_OPEN_KEYS),
    _head("code", r"codes?(?![a-z])", K, certain=False, before=_CODES),
    _head("cred", r"cred(?:ential)?s?(?![a-z])", K),
    _head("pat", r"pat(?![a-z])", K, certain=False, before=_CAPITALS),
    _head("kennwort", r"kennw(?:ort|örter)", P),
    _head("schlüssel", r"schlüssel", K, before=_GERMAN_KEYS),
    _head("schluessel", r"schluessel", K, before=_GERMAN_KEYS),
    _head("mot de passe", r"mots? de passe", P),
    _head("mdp", r"mdp(?![a-z])", P, before=_FREE),
    _head("clé", r"clé (?:d['’])?(?:api|secr[èe]te|priv[ée]e|acc[èe]s)", K),
    _head("cle api", r"cle api", K, before=_FREE),
    _head("jeton", r"jetons?(?: d['’]acc[èe]s)?", K),
    _head("contrase", r"contrase(?:ñ|n)as?", P),
    _head("clave", r"claves?(?: (?:de )?(?:api|acceso|secretas?|privadas?))?", P, before=_FREE),
    _head("senha", r"senhas?", P, before=_FREE),
    _head("chave", r"chaves? (?:de )?(?:api|acesso|secretas?|privadas?)", K),
    _head("palavra-passe", r"palavra-passe", P),
    _head("parol", r"parol[aăe](?: d['’]ordine| d['’]accesso)?(?! chiave)", P, before=_FREE),
    _head("chiave", r"chiave (?:api|segreta|privata|di accesso)", K),
    _head("wachtwoord", r"wachtwoord(?:en)?", P),
    _head("sleutel", r"sleutel", K, before=_DUTCH_KEYS),
    _head("lösenord", r"lösenord(?:et)?", P),
    _head("losenord", r"losenord", P),
    _head("adgangskode", r"adgangskoden?", P),
    _head("kodeord", r"kodeord(?:et)?", P),
    _head("salasana", r"salasana[a-z]{0,3}", P),
    _head("hasło", r"hasło", P, before=_FREE),
    _head("haslo", r"haslo", P, before=_FREE),
    _head("klucz", r"klucz (?:api|dostępu|tajny|prywatny)", K),
    _head("heslo", r"heslo", P, before=_FREE),
    _head("jelsz", r"jelsz(?:ó|o|av)[a-z]{0,3}", P),
    _head("kata sandi", r"kata sandi", P, before=_FREE),
    _head("şifre", r"şifre(?:si|niz|m)?", P),
    _head("sifre", r"sifre(?:si|niz|m)?", P, before=_FREE),
    _head("lozinka", r"lozinka", P),
)
FOREIGN = (
    _head("парол", r"парол[ьяюейиа]{1,2}", P),
    _head("ключ", r"(?:api[- ]?|секретный |закрытый |приватный )?ключ(?: доступа| api)?", K, certain=False),
    _head("токен", r"токен[а-я]{0,2}(?: доступа)?", K, certain=False),
    _head("секрет", r"секрет(?![а-я])", K, certain=False),
    _head("mật khẩu", r"mật khẩu", P),
    _head("密码", r"密码", P),
    _head("密碼", r"密碼", P),
    _head("口令", r"口令", P),
    _head("密钥", r"(?:api ?|访问|私有)?密[钥鑰]", K),
    _head("密鑰", r"密鑰", K),
    _head("令牌", r"令牌", K),
    _head("パスワード", r"パスワード", P),
    _head("暗証番号", r"暗証番号", P),
    _head("キー", r"(?:api ?|アクセス|シークレット|秘密)キー", K),
    _head("トークン", r"トークン", K),
    _head("シークレット", r"シークレット", K),
    _head("秘密鍵", r"秘密鍵", K),
    _head("비밀번호", r"비밀번호", P),
    _head("암호", r"암호", P),
    _head(" 키", r"(?:api|비밀|액세스|접근) 키", K),
    _head("토큰", r"토큰", K),
    _head("كلمة", r"كلمة (?:المرور|السر|مرور)", P),
    _head("مفتاح", r"مفتاح(?: (?:api|الوصول|سري))?", K),
    _head("סיסמ", r"סיסמ(?:ה|א|ת)", P),
    _head("पासवर्ड", r"पासवर्ड", P),
    _head("รหัสผ่าน", r"รหัสผ่าน", P),
    _head("κωδικ", r"κωδικ(?:ός|οσ|ό)(?: πρόσβασης)?", P),
    _head("парола", r"парола", P),
)

# What a name goes on with that stands for something else than the secret itself.
_OTHERWISE = re.compile(
    r"(?:^|[_-]|(?<=[a-z]))(?:ids?|names?|hash(?:es|ed)?|sha\d{0,3}|types?|ur[li]s?|paths?|arns?|endpoints?|files?"
    r"|filename|"
    r"versions?|refs?|reference|digests?|prefix|suffix|counts?|limits?|len(?:gth)?|polic(?:y|ies)|hints?|fields?"
    r"|labels?|class|"
    r"ttl|expir\w*|age|size|regex|pattern|headers?|params?|stores?|manager|provider|format|alg(?:orithm)?|index|idx"
    r"|pos(?:ition)?|"
    r"usage|budget|contract|address(?:es)?|symbol|backend|dir|folder|bucket|engine|rotation|required|enabled|min"
    r"|max|timeout|"
    r"validators?|cls|errors?|status|mode|kind|location|source|desc(?:ription)?|template|mask|encoding|encoder"
    r"|izers?|ized?|ization|"
    r"fingerprint|thumbprint|checksum|salt|iterations?|rounds|strength|help|text|title|placeholder|message|msg|url"
    r"|host|port|"
    r"level|state|key_?path|alias|domain|issuer|audience|scopes?|lifetime|bits|chars|words?|less|board|stone|word"
    r"|uri|value_?from|"
    r"verifier|generator|factory|handler|service|client|cache|holder|response|request|rule|schema|spec|options?|config"
    r"|settings)(?:$|[_-])",
    re.IGNORECASE,
)


def is_otherwise(suffix: str) -> bool:
    """`_id`, `Name`, `-path`: the name is of something about the secret."""
    return bool(suffix) and _OTHERWISE.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", suffix)) is not None
