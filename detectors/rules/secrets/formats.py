"""Tokens whose shape shows their provider: one row for each shape, as the provider documents it.

Lengths are the least that a provider issues: a longer one is a secret too, and a secret is found to its end.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detectors.rules.secrets.candidate import A_PIECE, Candidate
from detectors.rules.secrets.values import is_generated, wordiness

_DISTINCT = 8  # different characters in a token, at least
_LONG = 20  # characters in a row without which no token stands in a text
_TELLING = 4  # characters of a hint
# A token begins where no other word goes on; `\n`, `%3D` and the like may stand before it in escaped text.
_BEFORE = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt])|(?<=%[0-9A-F][0-9A-F]))"
_AFTER = r"(?![A-Za-z0-9])"


def is_token(value: str) -> bool:
    """Whether it has more than a few different characters."""
    return len(set(value)) >= _DISTINCT


def _is_drawn(value: str) -> bool:
    """Whether the part after the prefix is random; that of a style sheet's `sk-fading-circle-before` is not."""
    return is_token(value) and any(map(str.isdigit, value)) and wordiness(value[:120]) < 0.45


def _is_json_web_token(value: str) -> bool:
    """Whether the first part is a header."""
    head = value.partition(".")[0].rpartition("_")[2]
    try:
        return base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)).startswith(b"{")
    except (binascii.Error, ValueError):
        return False


def _is_encoded_key(value: str) -> bool:
    try:
        return b"PRIVATE KEY" in base64.b64decode(value[:64])
    except binascii.Error:
        return False


@dataclass(frozen=True, slots=True)
class Format:
    """One shape: literal hints, one of which is in every value, the expression, and how sure a match is."""

    label: str
    hints: tuple[str, ...]
    expression: re.Pattern[str]
    confidence: float
    accept: Callable[[str], bool]
    least: int = 0  # characters of the shortest value, where the hints stand everywhere

    @property
    def is_telling(self) -> bool:
        """Whether the hints hardly occur anywhere else."""
        return all(len(hint) >= _TELLING for hint in self.hints)


def _row(
    label: str, confidence: float, hints: str, expression: str, accept: Callable[[str], bool] = is_token, least: int = 0
) -> Format:
    return Format(
        label, tuple(hints.split()), re.compile(f"{_BEFORE}(?:{expression}){_AFTER}"), confidence, accept, least
    )


_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

FORMATS = (
    # Clouds.
    _row("aws_access_key", 0.99, "AKIA ASIA ABIA ACCA", r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}"),
    _row(
        "aws_session_token",
        0.99,
        "IQoJb3JpZ2lu FwoGZXIvYXdz FQoGZXIvYXdz",
        r"(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz)[A-Za-z0-9+/_-]{80,}+={0,2}",
    ),
    _row(
        "aws_bedrock_key",
        0.99,
        "ABSKQmVkcm9ja0FQSUtleS bedrock-api-key-",
        r"(?:ABSKQmVkcm9ja0FQSUtleS|bedrock-api-key-)[A-Za-z0-9+/_-]{60,}+={0,2}",
    ),
    _row("google_api_key", 0.97, "AIza", r"AIza[A-Za-z0-9_-]{35,}+"),
    _row(
        "google_oauth",
        0.97,
        "ya29. GOCSPX- 1//0",
        r"ya29\.[A-Za-z0-9_-]{30,}+|GOCSPX-[A-Za-z0-9_-]{24,}+|1//0[A-Za-z0-9_-]{40,}+",
    ),
    _row(
        "azure_key",
        0.97,
        "JQQJ99 AzFu AzCa +ASt +AMC +ACR",
        r"[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{22,}+|[A-Za-z0-9_-]{44}AzFu[A-Za-z0-9_-]{5}[AQgw]=="
        r"|[A-Za-z0-9+/]{76}\+(?:ASt|AMC)[A-Za-z0-9+/]{5}[AQgw]==|[A-Za-z0-9]{42}AzCa[A-Za-z0-9]{5}=",
    ),
    _row("azure_client_secret", 0.9, "Q~", r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
    _row("digitalocean_token", 0.99, "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _row("alibaba_key", 0.95, "LTAI", r"LTAI[A-Za-z0-9]{16,26}", is_generated),
    _row("tencent_key", 0.9, "AKID", r"AKID[A-Za-z0-9]{32}", is_generated),
    _row(
        "yandex_token",
        0.97,
        "AQVN t1. y0_",
        r"AQVN[A-Za-z0-9_-]{34,}+|t1\.[A-Za-z0-9_-]{20,}+\.[A-Za-z0-9_-]{60,}+|y0_[A-Za-z0-9_-]{50,}+",
    ),
    _row(
        "cloudflare_token",
        0.97,
        "cfk_ cfut_ cfat_ v1.0-",
        r"cf(?:k|ut|at)_[A-Za-z0-9_-]{36,}+|v1\.0-[a-f0-9]{24}-[a-f0-9]{100,}+",
    ),
    _row(
        "vercel_token",
        0.97,
        "vcp_ vci_ vca_ vcr_ vck_ vercel_blob_rw_",
        r"vc[piark]_[A-Za-z0-9]{24,}+|vercel_blob_rw_[A-Za-z0-9_]{30,}+",
        _is_drawn,
    ),
    _row("netlify_token", 0.97, "nfp_ nfc_ nfo_ nfu_", r"nf[pcou]_[A-Za-z0-9]{36,}+"),
    _row("heroku_key", 0.97, "HRKU-", r"HRKU-[A-Za-z0-9_-]{36,}+"),
    _row(
        "fly_token", 0.99, "fm1r_ fm2_ fo1_", r"(?:FlyV1 )?fm(?:1r|2)_[A-Za-z0-9+/,_=-]{60,}+|fo1_[A-Za-z0-9_-]{43,}+"
    ),
    _row("render_token", 0.9, "rnd_", r"rnd_[A-Za-z0-9]{28,}+"),
    _row("scaleway_key", 0.8, "SCW", r"SCW[A-Z0-9]{17}", is_generated),
    _row("digitalocean_key", 0.9, "DO00", r"DO00[A-Z0-9]{16}", is_generated),
    _row("cloudflare_token", 0.95, "eyJhIjoi", r"eyJhIjoi[A-Za-z0-9+/_-]{100,}+={0,2}"),
    _row("access_token", 0.95, "tk-us- tk-eu-", r"tk-(?:us|eu)-[A-Za-z0-9_-]{40,}+", _is_drawn),
    _row("access_token", 0.9, "akab-", r"akab-[a-z0-9]{16}-[a-z0-9]{16}", is_generated),
    _row("amazon_key", 0.97, "amzn", rf"amzn\.mws\.{_UUID}|amzn1\.oa2-cs\.v1\.[a-f0-9]{{64}}"),
    _row("access_token", 0.9, "_", r"[12][A-Za-z0-9]{26}_[A-Za-z0-9]{20,24}", is_generated, 48),
    # Models.
    _row("openai_key", 0.99, "T3BlbkFJ", r"sk-[A-Za-z0-9_-]{16,200}?T3BlbkFJ[A-Za-z0-9_-]{16,}+"),
    _row(
        "openai_key",
        0.97,
        "sk-proj- sk-svcacct- sk-admin- sk-None-",
        r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{32,}+",
        _is_drawn,
    ),
    _row("anthropic_key", 0.99, "sk-ant-", r"sk-ant-[a-z]{3,6}\d\d-[A-Za-z0-9_-]{40,}+", _is_drawn),
    _row("openrouter_key", 0.99, "sk-or-", r"sk-or-v\d-[0-9a-f]{48,}+"),
    _row("langfuse_key", 0.97, "sk-lf-", rf"sk-lf-{_UUID}"),
    _row("api_key", 0.9, "sk-", r"sk-(?:[a-z]{2,10}\d{0,2}-){0,3}[A-Za-z0-9_-]{24,}+", _is_drawn),
    _row("api_key", 0.9, "sk_", r"sk_[a-f0-9]{40,}+"),
    _row("groq_key", 0.97, "gsk_", r"gsk_[A-Za-z0-9]{40,}+", _is_drawn),
    _row("xai_key", 0.97, "xai-", r"xai-[A-Za-z0-9]{60,}+"),
    _row("perplexity_key", 0.97, "pplx-", r"pplx-[A-Za-z0-9]{40,}+"),
    _row("nvidia_key", 0.97, "nvapi-", r"nvapi-[A-Za-z0-9_-]{50,}+"),
    _row("replicate_token", 0.97, "r8_", r"r8_[A-Za-z0-9]{37,}+"),
    _row(
        "huggingface_token",
        0.95,
        "hf_ api_org_",
        r"(?:hf|api_org)_[A-Za-z]{34,}+|hf_oauth_[A-Za-z0-9._-]{40,}+",
        lambda value: is_token(value) and wordiness(value) < 0.5,
    ),
    _row("cerebras_key", 0.95, "csk-", r"csk-[a-z0-9]{40,}+"),
    _row("fireworks_key", 0.9, "fw_", r"fw_[A-Za-z0-9]{22,}+", _is_drawn),
    _row("together_key", 0.97, "tgp_v", r"tgp_v\d_[A-Za-z0-9_-]{40,}+"),
    _row("langsmith_key", 0.99, "lsv2_ ls__", r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}|ls__[a-f0-9]{32}"),
    _row("pinecone_key", 0.97, "pcsk_", r"pcsk_[A-Za-z0-9]{4,8}_[A-Za-z0-9]{50,}+"),
    _row("tavily_key", 0.95, "tvly-", r"tvly-(?:[a-z]{3,5}-)?[A-Za-z0-9_-]{30,}+", _is_drawn),
    _row("wandb_key", 0.95, "wandb_v1_", r"wandb_v1_[A-Za-z0-9_-]{40,}+", _is_drawn),
    _row("jina_key", 0.95, "jina_", r"jina_[A-Za-z0-9_-]{50,}+", _is_drawn),
    _row("api_key", 0.9, "sk_", r"sk_[A-Za-z0-9_-]{40,}+", _is_drawn),
    _row(
        "api_key", 0.95, "llx- rpa_ bb_live_ esecret_", r"(?:llx-|rpa_|bb_live_|esecret_)[A-Za-z0-9_-]{24,}+", _is_drawn
    ),
    _row("api_key", 0.95, "e2b_ key_ wk-1.", r"e2b_[a-f0-9]{40}|(?:key_|wk-1\.)[a-f0-9]{64}"),
    _row("api_key", 0.9, "fc-", r"fc-[a-f0-9]{32}"),
    _row("api_key", 0.9, "pa- m0-", r"pa-[A-Za-z0-9_-]{43}|m0-[A-Za-z0-9]{40}", is_generated),
    _row("api_key", 0.9, "ak- as-", rf"a[ks]-[A-Za-z0-9]{{22}}|ak-{_UUID}-[A-Za-z0-9_-]{{24,}}+", is_generated),
    _row("api_key", 0.9, "secret_", r"secret_[a-z0-9-]{1,32}_[a-f0-9]{32}\.[A-Za-z0-9]{32}"),
    # Code and packages.
    _row(
        "github_token",
        0.99,
        "ghp_ gho_ ghu_ ghs_ ghr_",
        r"gh[pousr]_[A-Za-z0-9]{36,}+"
        r"|gh[pousr]_(?:\d{1,12}_)?eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+",
    ),
    _row("github_token", 0.99, "github_pat_", r"github_pat_[A-Za-z0-9_]{50,}+"),
    _row(
        "gitlab_token",
        0.97,
        "glpat- glptt- gldt- glrt- glrtr- glsoat- glcbt- glagent- glffct- glimt- glft- gloas-",
        r"gl(?:pat|ptt|dt|rt|rtr|soat|cbt|agent|ffct|imt|ft)-[A-Za-z0-9_-]{20,}+(?:\.[a-z0-9]{2}\.[a-z0-9]{9})?"
        r"|gloas-[A-Za-z0-9_-]{60,}+",
    ),
    _row("bitbucket_token", 0.97, "ATBB ATCTT3", r"ATBB[A-Za-z0-9_=-]{28,}+|ATCTT3[A-Za-z0-9_=-]{60,}+"),
    _row("atlassian_token", 0.99, "ATATT3", r"ATATT3[A-Za-z0-9_=-]{60,}+"),
    _row("npm_token", 0.97, "npm_", r"npm_[A-Za-z0-9]{36,}+"),
    _row("pypi_token", 0.99, "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,}+"),
    _row("rubygems_key", 0.99, "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _row("crates_token", 0.9, "cio", r"cio[A-Za-z0-9]{32}", is_generated),
    _row("nuget_key", 0.95, "oy2", r"oy2[a-z0-9]{43}"),
    _row("docker_token", 0.99, "dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{24,}+"),
    _row("artifactory_key", 0.95, "AKCp cmVmdGtu", r"AKCp[A-Za-z0-9]{60,}+|cmVmdGtu[A-Za-z0-9+/=]{40,}+"),
    _row("sonar_token", 0.97, "squ_ sqp_ sqa_", r"sq[upa]_[a-f0-9]{40}"),
    _row("circleci_token", 0.95, "CCIPAT_ CCIPRJ_", r"CCIP(?:AT|RJ)_[A-Za-z0-9]{16,}+_[a-f0-9]{40}"),
    _row("buildkite_token", 0.95, "bkua_", r"bkua_[a-f0-9]{40}"),
    _row("prefect_key", 0.95, "pnu_", r"pnu_[a-z0-9]{36}"),
    _row("xata_key", 0.95, "xau_", r"xau_[A-Za-z0-9]{36,}+", _is_drawn),
    # Chat.
    _row("matrix_token", 0.97, "syt_", r"syt_[A-Za-z0-9+/=-]{1,64}_[A-Za-z0-9]{20}_[A-Za-z0-9]{6}"),
    _row("twitter_token", 0.97, "AAAAAAAAAAAAAAAAAAAAA", r"A{20,22}[A-Za-z0-9%]{30,}+(?:%3D)?[A-Za-z0-9%_-]{30,}+"),
    _row("instagram_token", 0.9, "IGQ IGAA", r"IG(?:Q|AA)[A-Za-z0-9_-]{100,}+", is_generated),
    _row("intercom_token", 0.95, "dG9rO", r"dG9rO[A-Za-z0-9+/]{40,}+={0,2}"),
    _row("firebase_key", 0.95, ":APA91b", r"[A-Za-z0-9_-]{11}:APA91b[A-Za-z0-9_-]{100,}+"),
    _row("twilio_key", 0.97, "AC", r"AC[0-9a-f]{32}:[0-9a-f]{32}", least=67),
    _row(
        "okta_token", 0.85, "00", r"00[A-Za-z0-9_-]{40}", lambda value: is_generated(value) and not value.islower(), 42
    ),
    _row("slack_token", 0.97, "xox", r"xox[abeoprsd](?:\.xox[bp])?-[A-Za-z0-9-]{10,}+", _is_drawn),
    _row("slack_token", 0.97, "xapp-", r"xapp-\d-[A-Z0-9]{9,}+-\d{10,}+-[a-f0-9]{40,}+"),
    _row(
        "slack_webhook",
        0.97,
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/T?[A-Z0-9]{8,}+/[A-Z0-9]{8,}+/[A-Za-z0-9/]{16,}+",
    ),
    _row("telegram_token", 0.97, ":A", r"(?:bot)?\d{8,10}:AA?[A-Za-z0-9_-]{32,35}"),
    _row(
        "discord_token",
        0.9,
        ".",
        r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}+",
        lambda value: is_generated(value) and is_generated(value.split(".")[0]),
        55,
    ),
    _row(
        "discord_webhook",
        0.97,
        "/webhooks/",
        r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{17,20}/[A-Za-z0-9_-]{60,}+",
    ),
    _row(
        "teams_webhook",
        0.97,
        "webhook.office.com",
        rf"[a-z0-9]+\.webhook\.office\.com/webhookb2/{_UUID}@{_UUID}/IncomingWebhook/[a-f0-9]{{32}}(?:/[A-Za-z0-9_-]+"
        rf")*+",
    ),
    _row(
        "google_chat_webhook",
        0.97,
        "chat.googleapis.com",
        r"chat\.googleapis\.com/v1/spaces/[A-Za-z0-9_-]+/messages\?[A-Za-z0-9_=&%-]*token=[A-Za-z0-9_%-]{20,}+",
    ),
    _row(
        "webhook",
        0.95,
        "open.feishu.cn open.larksuite.com",
        rf"open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/v2/hook/{_UUID}",
    ),
    _row("webhook", 0.95, "oapi.dingtalk.com", r"oapi\.dingtalk\.com/robot/send\?access_token=[a-f0-9]{64}"),
    _row("webhook", 0.95, "qyapi.weixin.qq.com", rf"qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key={_UUID}"),
    _row(
        "webhook", 0.95, "hooks.zapier.com", r"hooks\.zapier\.com/hooks/catch/\d{5,}+/[a-z0-9]{6,}+(?:/[a-z0-9]{6,}+)?"
    ),
    _row("webhook", 0.95, "hook.", r"hook\.[a-z]{2}\d\.make\.com/[a-z0-9]{32}"),
    _row("webhook", 0.95, "maker.ifttt.com", r"maker\.ifttt\.com/trigger/\w+/(?:json/)?with/key/[A-Za-z0-9_-]{20,}+"),
    _row(
        "webhook",
        0.9,
        "/workflows/",
        r"logic\.azure\.com(?::443)?/workflows/[a-f0-9]{32}/[\w/?&=.%-]*sig=[A-Za-z0-9_%-]{30,}+",
    ),
    # Money and shops.
    _row("stripe_key", 0.99, "k_live_", r"(?:sk|rk|ek|pk_sk)_live_[A-Za-z0-9]{16,}+"),
    _row("stripe_key", 0.99, "sk_org_", r"sk_org_(?:live_|test_)?[A-Za-z0-9]{24,}+", _is_drawn),
    _row("woocommerce_key", 0.9, "cs_ ck_", r"c[sk]_[a-f0-9]{40}"),
    _row("paddle_key", 0.97, "pdl_", r"pdl_(?:live|sdbx)_apikey_[A-Za-z0-9]{20,}+_[A-Za-z0-9_]{16,}+"),
    _row("gocardless_token", 0.85, "live_", r"live_[A-Za-z0-9_-]{40}", is_generated),
    _row("stytch_secret", 0.95, "secret-live- secret-test-", r"secret-(?:live|test)-[A-Za-z0-9_-]{35,}+=?"),
    _row("stripe_test_key", 0.7, "k_test_", r"[sr]k_test_[A-Za-z0-9]{16,}+", _is_drawn),
    _row("webhook_secret", 0.95, "whsec_", r"whsec_[A-Za-z0-9+/=_-]{24,}+", _is_drawn),
    _row(
        "square_token",
        0.97,
        "EAAA sq0",
        r"(?<![+/])EAAA[A-Za-z0-9_-]{60}(?![+/=_-])|sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}+",
        _is_drawn,
    ),
    _row(
        "shopify_token",
        0.99,
        "shpat_ shpss_ shpca_ shppa_ shpua_ prtapi_",
        r"(?:shp(?:at|ss|ca|pa|ua)|prtapi)_[a-fA-F0-9]{32,}+",
    ),
    _row("plaid_token", 0.97, "access-", rf"access-(?:production|development|sandbox)-{_UUID}"),
    _row("flutterwave_key", 0.97, "FLWSECK", r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{32}-X"),
    _row("razorpay_key", 0.9, "rzp_live_", r"rzp_live_[A-Za-z0-9]{14,}+"),
    _row("adyen_key", 0.97, "AQE", r"AQE[a-z0-9A-Z]{1,3}hmf[A-Za-z0-9+/=_.<>(){}!*-]{40,}+"),
    _row("adyen_key", 0.95, "AQE", r"AQE[A-Za-z0-9+/]{40,}+-[A-Za-z0-9+/]{40,}+=?-[A-Za-z0-9<>(){}!*^~+.]{12,}+"),
    # Mail and messages.
    _row("sendgrid_key", 0.99, "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,}+"),
    _row("twilio_key", 0.85, "SK", r"SK[0-9a-f]{32}"),
    _row("mailgun_key", 0.9, "key-", r"key-[0-9a-f]{32}"),
    _row("mailgun_key", 0.9, "-", r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?!-)", least=50),
    _row("mailchimp_key", 0.95, "-us", r"[0-9a-f]{32}-us\d{1,2}"),
    _row("brevo_key", 0.99, "xkeysib- xsmtpsib-", r"x(?:key|smtp)sib-[a-f0-9]{60,}+-[A-Za-z0-9]{16}"),
    _row("resend_key", 0.95, "re_", r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}", is_generated),
    _row("telnyx_key", 0.97, "KEY0", r"KEY0[A-Z0-9]{30,34}_[A-Za-z0-9]{22}"),
    # Data, watching, secrets.
    _row("posthog_key", 0.97, "phx_", r"phx_[A-Za-z0-9]{40,}+"),
    _row("honeycomb_key", 0.97, "ik_", r"hc[a-z]ik_[a-z0-9]{50,}+"),
    _row("axiom_token", 0.97, "xaat- xapt-", rf"xa[ap]t-{_UUID}"),
    _row("pagerduty_key", 0.85, "u+", r"u\+[A-Za-z0-9_-]{18}", is_generated),
    _row("fauna_key", 0.95, "fnAE fnAF", r"fnA[A-Z][A-Za-z0-9_-]{36}", _is_drawn),
    _row("databricks_token", 0.97, "dapi dose dkea", r"(?:dapi|dose|dkea)[0-9a-f]{32}(?:-\d)?"),
    _row("supabase_key", 0.99, "sbp_ sb_secret_", r"sbp_(?:v\d_|oauth_)?[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{24,}+"),
    _row("planetscale_token", 0.99, "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{30,}+"),
    _row("neon_key", 0.95, "napi_", r"napi_[a-z0-9]{40,}+"),
    _row("airtable_token", 0.99, "pat", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    _row("grafana_token", 0.97, "glsa_ glc_", r"glsa_[A-Za-z0-9]{24,}+_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/=_-]{32,}+"),
    _row("sentry_token", 0.99, "sntry", r"sntry[sua]_[A-Za-z0-9+/=_-]{40,}+"),
    _row("new_relic_key", 0.99, "NRAK- NRJS-", r"NRAK-[A-Z0-9]{27}|NRJS-[a-f0-9]{19}"),
    _row(
        "new_relic_key",
        0.97,
        "NRII- NRAA- NRRA- FFFFNRAL",
        r"NRII-[A-Za-z0-9_-]{32}|NRAA-[a-f0-9]{27}|NRRA-[a-f0-9]{42}|[a-f0-9]{36}FFFFNRAL",
    ),
    _row("datadog_key", 0.9, "ddap ddpat_", r"dd(?:app|api|pat)_[A-Za-z0-9]{32,}+", _is_drawn),
    _row("dynatrace_token", 0.99, "dt0", r"dt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _row("vault_token", 0.97, "hvs. hvb. hvr.", r"hv[sbr]\.[A-Za-z0-9_-]{24,}+"),
    _row("terraform_token", 0.99, ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}+"),
    _row("pulumi_token", 0.97, "pul-", r"pul-[a-f0-9]{40}"),
    _row("doppler_token", 0.97, "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}+"),
    _row("onepassword_token", 0.99, "ops_eyJ", r"ops_eyJ[A-Za-z0-9+/=_-]{100,}+"),
    _row("infisical_token", 0.97, "st.", r"st\.[a-f0-9]{24}\.[a-f0-9]{32}\.[a-f0-9]{32}"),
    _row("age_key", 0.99, "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{58,}+"),
    _row(
        "tailscale_key",
        0.97,
        "tskey-",
        r"tskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{8,}+(?:CNTRL)?-[A-Za-z0-9]{20,}+",
    ),
    _row("launchdarkly_key", 0.95, "sdk- api- mob-", rf"(?:sdk|api)-{_UUID}"),
    # Work and content.
    _row("linear_key", 0.99, "lin_", r"lin_(?:api|oauth|wh)_[A-Za-z0-9]{32,}+"),
    _row("hubspot_token", 0.97, "pat-", rf"pat-[a-z]{{2}}\d-{_UUID}"),
    _row("asana_token", 0.95, "1/ 2/", r"(?:1|2/\d{14,20})/\d{14,20}:[a-f0-9]{32}", least=16),
    _row("clickup_token", 0.97, "pk_", r"pk_\d{6,10}_[A-Z0-9]{32}"),
    _row("trello_token", 0.97, "ATTA", r"ATTA[A-Za-z0-9]{60,}+"),
    _row("canva_secret", 0.95, "cnvca", r"cnvca[A-Za-z0-9_-]{40,}+", _is_drawn),
    _row("sanity_token", 0.9, "sk", r"sk[A-Za-z0-9]{140,}+", is_generated, 142),
    _row("prismic_token", 0.9, "MC5", r"MC5[A-Za-z0-9_-]{30,60}\.[A-Za-z0-9_-]{40,}+", is_generated),
    _row("notion_token", 0.9, "secret_ ntn_", r"secret_[A-Za-z0-9]{40,50}|ntn_[A-Za-z0-9]{40,}+", is_generated),
    _row("postman_key", 0.99, "PMAK-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _row("figma_token", 0.97, "figd_ figo_", r"fig[do]_[A-Za-z0-9_-]{36,}+"),
    _row("contentful_token", 0.97, "CFPAT-", r"CFPAT-[A-Za-z0-9_-]{40,}+"),
    _row("typeform_token", 0.97, "tfp_", r"tfp_[A-Za-z0-9_.-]{40,}+", _is_drawn),
    _row("mapbox_token", 0.97, "sk.eyJ", r"sk\.eyJ[A-Za-z0-9_-]{40,}+\.[A-Za-z0-9_-]{20,}+"),
    _row("facebook_token", 0.9, "EAA", r"(?<![+/])EAA[A-Za-z0-9]{90,}+(?![+/=])", is_generated),
    _row("dropbox_token", 0.95, "sl.", r"sl\.(?:u\.)?[A-Za-z0-9_-]{100,}+"),
    _row("adafruit_key", 0.95, "aio_", r"aio_[A-Za-z0-9]{28}", is_generated),
    # Keys of their own kind.
    _row("jwt", 0.9, "eyJ", r"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{16,}+", _is_json_web_token),
    _row("jwt", 0.9, "eyJ", r"eyJ[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]{16,}+){3}", _is_json_web_token),
    _row("private_key", 0.99, "LS0tLS1CRUdJTi", r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{80,}+={0,2}", _is_encoded_key),
    _row("private_key", 0.97, "nsec1 xprv yprv zprv", r"nsec1[a-z0-9]{58}|[xyz]prv[A-Za-z0-9]{100,}+"),
)
_SPACED = bytes(byte if byte < 128 and (chr(byte).isalnum() or chr(byte) in "+/=_-.:~@") else 32 for byte in range(256))


def tokens(text: str) -> Iterator[Candidate | None]:
    """Every token of a known shape; None for a pause."""
    words = _long_words(text)
    crowded, longest = " ".join(words), max(map(len, words), default=0)
    for row in FORMATS if words else ():
        if row.least > longest:
            continue
        if any(hint in crowded for hint in row.hints) and (row.is_telling or row.expression.search(crowded)):
            for number, match in enumerate(row.expression.finditer(text), 1):
                if row.accept(match.group()):
                    yield Candidate(match.start(), match.end(), row.label, row.confidence, match.group())
                if not number % A_PIECE:
                    yield None
            yield None


def _long_words(text: str) -> list[str]:
    """The words of a text that can contain a token: they are few, and only they are searched for hints."""
    words = text.encode("utf-8", "replace").translate(_SPACED).decode("ascii").split()
    return [word for word in words if len(word) >= _LONG]
