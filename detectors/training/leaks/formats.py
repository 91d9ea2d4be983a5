"""The shapes of secrets, as their providers document them, and values drawn in them at random: none was ever issued.

A shape is a text with parts to draw: `{A36}` is 36 letters and digits. Letters of the parts: A letters and digits,
B base64, D digits, H hexadecimal, L small letters and digits, M letters, U base64url, X capitals and digits, 2 base32.
`{D8-10}` draws the length too. Nothing here is a literal that a scanner of repositories takes for a leak.
"""

import random
import re
import string
from collections.abc import Mapping

_ALNUM = string.ascii_letters + string.digits
_ALPHABETS = {
    "A": _ALNUM,
    "B": _ALNUM + "+/",
    "D": string.digits,
    "H": "0123456789abcdef",
    "L": string.ascii_lowercase + string.digits,
    "M": string.ascii_letters,
    "U": _ALNUM + "-_",
    "X": string.ascii_uppercase + string.digits,
    "2": string.ascii_uppercase + "234567",
}
_PART = re.compile(r"\{([ABDHLMUX2])(\d+)(?:-(\d+))?\}")


def draw(shape: str, rng: random.Random) -> str:
    """The shape with every part drawn; the ends of a part are letters or digits where it has signs."""

    def part(match: re.Match[str]) -> str:
        size = rng.randint(int(match[2]), int(match[3] or match[2]))
        drawn = rng.choices(_ALPHABETS[match[1]], k=size)
        drawn[-1] = rng.choice([sign for sign in _ALPHABETS[match[1]] if sign.isalnum()])
        return "".join(drawn)

    return _PART.sub(part, shape)


# Tokens that tell by themselves what they are; where only a part is the secret, it stands in «».
TOKENS: Mapping[str, str] = {
    "openai project key": "sk-proj-{U74}T3BlbkFJ{U74}",
    "openai service key": "sk-svcacct-{U74}T3BlbkFJ{U74}",
    "openai admin key": "sk-admin-{U74}T3BlbkFJ{U74}",
    "openai key of old": "sk-{A20}T3BlbkFJ{A20}",
    "anthropic key": "sk-ant-api03-{U93}AA",
    "anthropic admin key": "sk-ant-admin01-{U93}AA",
    "anthropic oauth token": "sk-ant-oat01-{U93}AA",
    "google api key": "AIzaSy{U33}",
    "google oauth secret": "GOCSPX-{U28}",
    "google access token": "ya29.a0{U120-160}",
    "google refresh token": "1//0{A1}{U90}",
    "aws access key": "AKIA{216}",
    "aws temporary key": "ASIA{216}",
    "aws session token": "IQoJb3JpZ2luX2Vj{B300-600}==",
    "aws bedrock key": "ABSKQmVkcm9ja0FQSUtleS{B108}==",
    "azure storage": (
        "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=«{B86}==»;EndpointSuffix=core.windows.net"
    ),
    "azure client secret": "{A3}8Q~{U31}aZ",
    "azure openai key": "{A52}JQQJ99{X10}ACOG{A12}",
    "azure devops token": "{A52}JQQJ99{X10}AZDO{A12}",
    "azure service bus": "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=root;SharedAccessKey=«{B43}=»",
    "github token": "ghp_{A36}",
    "github oauth token": "gho_{A36}",
    "github fine-grained": "github_pat_{A22}_{A59}",
    "github app token of 2026": "ghs_{D6-8}_eyJhbGciOiJSUzI1NiJ9.eyJ{U120}.{U200}",
    "gitlab token": "glpat-{U20}",
    "gitlab routable token": "glpat-{U27}.01.{L9}",
    "gitlab runner token": "glrt-{U20}",
    "gitlab deploy token": "gldt-{U20}",
    "gitlab scim token": "glsoat-{U20}",
    "npm token": "npm_{A36}",
    "pypi token": "pypi-AgEIcHlwaS5vcmc{U120-160}",
    "slack bot token": "xoxb-{D12}-{D13}-{A24}",
    "slack user token": "xoxp-{D12}-{D12}-{D13}-{H32}",
    "slack app token": "xapp-1-A{X10}-{D13}-{H64}",
    "slack refresh token": "xoxe-1-{A146}",
    "slack webhook": "https://«hooks.slack.com/services/T{X10}/B{X10}/{A24}»",
    "stripe key": "sk_live_{A24}",
    "stripe long key": "sk_live_51{A97}",
    "stripe restricted key": "rk_live_{A24}",
    "stripe webhook secret": "whsec_{A32}",
    "twilio key": "SK{H32}",
    "sendgrid key": "SG.{U22}.{U43}",
    "hugging face token": "hf_{M34}",
    "groq key": "gsk_{A52}",
    "xai key": "xai-{A80}",
    "perplexity key": "pplx-{A48}",
    "openrouter key": "sk-or-v1-{H64}",
    "nvidia key": "nvapi-{U64}",
    "replicate token": "r8_{A37}",
    "deepseek key": "sk-{H32}",
    "elevenlabs key": "sk_{H48}",
    "cerebras key": "csk-{L48}",
    "fireworks key": "fw_{A22}",
    "together key": "tgp_v1_{U43}",
    "langsmith key": "lsv2_pt_{H32}_{H10}",
    "langfuse key": "sk-lf-{H8}-{H4}-4{H3}-a{H3}-{H12}",
    "pinecone key": "pcsk_{A5}_{A63}",
    "vercel token": "vcp_{A56}",
    "cloudflare token": "cfut_{A40}{H8}",
    "cloudflare origin key": "v1.0-{H24}-{H146}",
    "supabase token": "sbp_{H40}",
    "supabase secret key": "sb_secret_{U22}_{A8}",
    "digitalocean token": "dop_v1_{H64}",
    "databricks token": "dapi{H32}-2",
    "grafana service token": "glsa_{A32}_{H8}",
    "grafana cloud token": "glc_eyJ{A100}",
    "sentry token": "sntrys_eyJ{A90}_{B43}",
    "sentry user token": "sntryu_{H64}",
    "linear key": "lin_api_{A40}",
    "notion token": "ntn_{D11}{A35}",
    "notion token of old": "secret_{A43}",
    "postman key": "PMAK-{H24}-{H34}",
    "shopify token": "shpat_{H32}",
    "square token": "EAAA{U60}",
    "square secret": "sq0csp-{U43}",
    "telegram token": "{D10}:AA{U33}",
    "discord token": "M{A23}.{U6}.{U38}",
    "discord webhook": "https://«discord.com/api/webhooks/{D18}/{U68}»",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ{U80-200}.{U43}",
    "new relic key": "NRAK-{X27}",
    "airtable token": "pat{A14}.{H64}",
    "figma token": "figd_{U40}",
    "atlassian token": "ATATT3xFfGF0{U170}={X8}",
    "bitbucket password": "ATBB{A32}",
    "docker hub token": "dckr_pat_{U27}",
    "terraform token": "{A14}.atlasv1.{U67}",
    "vault token": "hvs.{U90}",
    "pulumi token": "pul-{H40}",
    "planetscale token": "pscale_tkn_{U43}",
    "neon key": "napi_{L64}",
    "doppler token": "dp.pt.{A43}",
    "1password token": "ops_eyJ{A250}",
    "age key": "AGE-SECRET-KEY-1{X58}",
    "heroku key": "HRKU-AA{U58}",
    "fly token": "FlyV1 fm2_{B200}",
    "netlify token": "nfp_{A36}",
    "mapbox secret token": "sk.eyJ{U70}.{U22}",
    "mailgun key": "key-{H32}",
    "mailchimp key": "{H32}-us12",
    "brevo key": "xkeysib-{H64}-{A16}",
    "resend key": "re_{A8}_{A24}",
    "launchdarkly key": "sdk-{H8}-{H4}-4{H3}-a{H3}-{H12}",
    "sonar token": "squ_{H40}",
    "rubygems key": "rubygems_{H48}",
    "artifactory key": "AKCp{A69}",
    "contentful token": "CFPAT-{U43}",
    "plaid token": "access-production-{H8}-{H4}-4{H3}-a{H3}-{H12}",
    "tailscale key": "tskey-auth-{A12}CNTRL-{A32}",
    "alibaba key": "LTAI{A20}",
    "yandex token": "y0_{U55}",
    "facebook token": "EAA{A150-180}",
    "typeform token": "tfp_{U44}_{A14}",
    "prefect key": "pnu_{L36}",
    "adafruit key": "aio_{A28}",
    "nostr key": "nsec1{L58}",
    "bitcoin extended key": "xprv9s21ZrQH143K{A95}",
}

# Values that only their name gives away.
NAMED: Mapping[str, str] = {
    "hex of 32": "{H32}",
    "hex of 40": "{H40}",
    "hex of 64": "{H64}",
    "letters and digits of 24": "{A24}",
    "letters and digits of 32": "{A32}",
    "letters and digits of 40": "{A40}",
    "url-safe of 43": "{U43}",
    "base64 of 44": "{B43}=",
    "small letters and digits of 32": "{L32}",
    "capitals and digits of 32": "{X32}",
    "uuid": "{H8}-{H4}-4{H3}-a{H3}-{H12}",
    "unknown prefix": "acme_live_{A28}",
    "two parts": "{H16}.{A32}",
    "long": "{A96}",
}

_WORDS = (
    "harbour", "tulip", "ember", "falcon", "maple", "copper", "velvet", "orbit", "pepper", "saddle", "winter", "candle",
    "ginger", "pocket", "silver", "meadow", "thunder", "basket", "lantern", "cactus", "marble", "rocket", "sparrow",
    "willow",
)  # fmt: skip
_SIGNS = "!#%&*+-?@^~"


def password(kind: str, rng: random.Random) -> str:
    """As people choose them, and as a manager draws them; no spaces, quotes or colons."""
    one, two = rng.sample(_WORDS, 2)
    number, sign = str(rng.randint(10, 9999)), rng.choice(_SIGNS)
    match kind:
        case "word, number, sign":
            return one.capitalize() + number + rng.choice("!#%&?")
        case "two words and a number":
            return f"{one}-{two}-{number}"
        case "capitals within":
            return one.capitalize() + two.capitalize() + sign + number
        case "digits for letters":
            return one.translate(str.maketrans("aeio", "4310")).capitalize() + sign + number + two[:2].upper()
        case "drawn, with signs":
            return "".join(rng.choices(_ALNUM + _SIGNS, k=rng.randint(12, 24)))
        case "drawn, short":
            return draw("{M2}{A6}", rng) + sign + number[:1]
        case _:
            return draw("{M2}{D1}{A9-17}", rng)


PASSWORDS = (
    "word, number, sign", "two words and a number", "capitals within", "digits for letters", "drawn, with signs",
    "drawn, short", "letters and digits",
)  # fmt: skip

# Words of the list that wallets draw their phrases from (BIP 39), a few of 2,048.
SEED_WORDS = (
    "abandon", "acoustic", "blanket", "bottom", "cereal", "cousin", "dinosaur", "elbow", "fabric", "gravity", "hockey",
    "install", "jungle", "kitchen", "legend", "mosquito", "noodle", "oxygen", "pelican", "quantum", "ribbon",
    "scorpion", "tornado", "umbrella", "velvet", "whisper", "yellow", "zebra",
)  # fmt: skip
