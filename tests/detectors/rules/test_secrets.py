"""Secrets: what people, programs and models write is cut whole, and what only looks like one stays as it is.

Every value is put together at run time, so that no scanner takes this file for a leak.
"""

import base64
import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import Text
from detectors.panel import Panel, Question
from detectors.rules import secrets
from detectors.rules.rule import LIMIT, RuleDetector
from detectors.rules.secrets import RULE
from detectors.rules.secrets.search import spared
from detectors.training.leaks import sets
from detectors.training.leaks.formats import draw
from detectors.training.leaks.measured import ours, score
from tests.support.judges.shipped import shipped
from tests.support.running.examples import size
from tests.support.running.together import together

R = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW3xY5zA7cE9gI2kM4oQ6sU8wY1"
H = "8f14e45fceea167a5a36dedd4bea2543"
P = "kR7!vq2Zx"
UUID = "0b5f9c1e-7a42-4d83-9e6b-" + "2c81f0a7d35e"
JWT = "eyJhbGciOiJSUzI1NiJ9." + "eyJ1c2VyIjoibWFyaWEifQ." + R
SEEDS = "velvet zebra acoustic ribbon noodle legend oxygen hockey gravity cereal elbow jungle"
BODY = "\n".join(R[n % 7 :] + R[: n % 7] for n in range(9))


def cut(text: str) -> str:
    """The text with everything found replaced by a square."""
    for span in sorted(RULE.find(text), key=lambda span: -span.start):
        text = text[: span.start] + "■" + text[span.end :]
    return text


@together(
    ("text", "left"),
    [
        # Shapes that providers document.
        ("key AKIA" + "Q3EGRT7WZXLMN2PV now", "key ■ now"),
        ("ghp_" + R[:36], "■"),
        ("ghs_1234567_" + JWT, "■"),
        (f"ghs_eyJhbGciOiJSUzI1NiJ9.{R}{R}.{R}", "■"),
        ("sk-or-v1-" + H * 2, "■"),
        ("whsec_" + R[:32], "■"),
        ("nvapi-" + R + R[:10], "■"),
        ("glsoat-" + R[:20], "■"),
        (f"see https://hooks.slack.com/services/T02KQ8VNM/B03RWZ7XJ/{R[:24]} there", "see https://■ there"),
        ("use sk-proj-" + R + R + ".", "use ■."),
        ("a sk-ant-api03-" + R + R[:40] + ", b", "a ■, b"),
        ("AIzaSy" + R[:33], "■"),
        (f"SG.{R[:22]}.{R[:43]}", "■"),
        (f"https://api.telegram.org/bot7123456789:AA{R[:33]}/getMe", "https://api.telegram.org/■/getMe"),
        (JWT, "■"),
        ('{"a":"x\\nglpat-' + R[:20] + '\\n"}', '{"a":"x\\n■\\n"}'),
        ("IQoJb3JpZ2lu" + R * 4, "■"),
        # Names as programs write them.
        (f"API_KEY: {H}", "API_KEY: ■"),
        (f"headers['X-Api-Key'] = '{H}'", "headers['X-Api-Key'] = '■'"),
        (f'request.setRequestHeader("X-Api-Key", "{H}");', 'request.setRequestHeader("X-Api-Key", "■");'),
        (f"Authorization: token {H}", "Authorization: token ■"),
        (f"DB_PASS={P}", "DB_PASS=■"),
        (f"<password>{P}</password>", "<password>■</password>"),
        (f'<property name="password" value="{P}"/>', '<property name="password" value="■"/>'),
        (f"- name: CLIENT_SECRET\n  value: {R[:30]}", "- name: CLIENT_SECRET\n  value: ■"),
        (f'{{"name": "API_KEY", "value": "{H}"}}', '{"name": "API_KEY", "value": "■"}'),
        (f'{{\\"access_token\\": \\"{H}\\"}}', '{\\"access_token\\": \\"■\\"}'),
        (f'static API_TOKEN: &str = "{H}";', 'static API_TOKEN: &str = "■";'),
        (f"HEROKU_API_KEY={UUID}", "HEROKU_API_KEY=■"),
        (f"apikey={H}&page=2", "apikey=■&page=2"),
        ("DB_PASSWORD=a(b)7,c;D{9}", "DB_PASSWORD=■"),
        (f"Server=db;Uid=sa;Pwd={P};Encrypt=no", "Server=db;Uid=sa;Pwd=■;Encrypt=no"),
        (f"password: ${P}&", "password: ■"),
        (f"DB_PASS=@{P}", "DB_PASS=■"),
        (f"pwd='!{P}'", "pwd='■'"),
        (f"setx API_KEY {H}", "setx API_KEY ■"),
        (f"<key>API_KEY</key>\n<string>{H}</string>", "<key>API_KEY</key>\n<string>■</string>"),
        (f"os.getenv('API_KEY', '{H}')", "os.getenv('API_KEY', '■')"),
        # Names as people and Markdown write them.
        (f"`{H}` is the API key", "`■` is the API key"),
        (f"credentials: maria:{P}", "credentials: maria:■"),
        (f"Passwords: admin / {P}", "Passwords: admin / ■"),
        (f"my password's {P}", "my password's ■"),
        (f"Here is your API key: {H}", "Here is your API key: ■"),
        (f"The access key is {R[:40]}.", "The access key is ■."),
        (f"Secret key: {H}", "Secret key: ■"),
        (f"private key: {H}{H}", "private key: ■"),
        (f"**API key:** `{H}`", "**API key:** `■`"),
        (f"**API_KEY**: {H}", "**API_KEY**: ■"),
        (f"token -> {H}", "token -> ■"),
        (f"API key for the test shop: {H}", "API key for the test shop: ■"),
        (f"my api key ({H}) is dead", "my api key (■) is dead"),
        (f"API key:\n\n```\n{H}\n```", "API key:\n\n```\n■\n```"),
        (
            f"| user | password |\n|---|---|\n| maria | {P} |\n| otto | tulip-ember-77 |",
            "| user | password |\n|---|---|\n| maria | ■ |\n| otto | ■ |",
        ),
        (f"name,password,age\nmaria,{P},41\n", "name,password,age\nmaria,■,41\n"),
        (f"login with the password {P} please", "login with the password ■ please"),
        # Other languages.
        (f"密码：{P}", "密码：■"),
        (f"mot de passe : {P}", "mot de passe : ■"),
        (f"la contraseña es {P}", "la contraseña es ■"),
        (f"das Passwort lautet {P}", "das Passwort lautet ■"),
        (f"пароль: {P}", "пароль: ■"),
        (f"パスワードは「{P}」です", "パスワードは「■」です"),
        (f"비밀번호: {P}", "비밀번호: ■"),
        (f"senha={P}", "senha=■"),
        (f"wachtwoord: {P}", "wachtwoord: ■"),
        (f"hasło: {P}", "hasło: ■"),
        (f"şifre: {P}", "şifre: ■"),
        (f"كلمة المرور: {P}", "كلمة المرور: ■"),
        (f"पासवर्ड: {P}", "पासवर्ड: ■"),
        (f"mật khẩu: {P}", "mật khẩu: ■"),
        # Forms of their own.
        (f"postgresql://app:{P}@db.internal:5432/shop", "postgresql://app:■@db.internal:5432/shop"),
        (f"redis://:{R[:12]}@cache/0", "redis://:■@cache/0"),
        (f"mongodb://u:p4:s%40x{R[:5]}@h1:1,h2:2/db", "mongodb://u:■@h1:1,h2:2/db"),
        (f"curl -s -u maria:{P} https://x.dev", "curl -s -u maria:■ https://x.dev"),
        (f"machine x.dev\n  login ci\n  password {P}\n", "machine x.dev\n  login ci\n  password ■\n"),
        (f"db.internal:5432:*:app:{P}", "db.internal:5432:*:app:■"),
        (f"Cookie: theme=dark; sid={H}; lang=en", "Cookie: theme=dark; sid=■; lang=en"),
        ("Authorization: Basic " + base64.b64encode(b"maria:" + P.encode()).decode(), "Authorization: Basic ■"),
        ('"auth": "' + base64.b64encode(b"maria:" + P.encode()).decode() + '"', '"auth": "■"'),
        (f"CREATE USER app IDENTIFIED BY '{P}';", "CREATE USER app IDENTIFIED BY '■';"),
        ('{"kty":"EC","crv":"P-256","d":"' + R[:43] + '"}', '{"kty":"EC","crv":"P-256","d":"■"}'),
        (f"seed phrase: {SEEDS}", "seed phrase: ■"),
        (f"my recovery phrase is {SEEDS} and I lost it", "my recovery phrase is ■ and I lost it"),
        (f"GET https://api.shop.internal/data?q=Bern&appid={H}", "GET https://api.shop.internal/data?q=Bern&appid=■"),
        (f"https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature={H}{H}", "https://b.s3.amazonaws.com/k?X-Amz-Expires=60&X-Amz-Signature=■"),
        (f"net user svc_backup {P} /add", "net user svc_backup ■ /add"),
        (f'network={{ ssid="home" psk="{P}" }}', 'network={ ssid="home" psk="■" }'),
        (f"https://{H}@git.shop.internal/app.git", "https://■@git.shop.internal/app.git"),
        (f"echo '{P}' | sudo -S apt update", "echo '■' | sudo -S apt update"),
        (f"net use Z: \\\\nas\\share /user:maria {P}", "net use Z: \\\\nas\\share /user:maria ■"),
        (f"gh secret set NPM_AUTH --body {R[:32]}", "gh secret set NPM_AUTH --body ■"),
        (f"setx SHOP_KEY {H}", "setx SHOP_KEY ■"),
        (f"Client Secret Value\n{R[:40]}", "Client Secret Value\n■"),
        (f"AZURE_DEVOPS_EXT_PAT={R[:52].lower()}", "AZURE_DEVOPS_EXT_PAT=■"),
        (f"SNYK_TOKEN={UUID} and X-Postmark-Server-Token: {UUID}", "SNYK_TOKEN=■ and X-Postmark-Server-Token: ■"),
        (f"GenieKey {UUID}", "GenieKey ■"),
        (f"creds: maria:{P}", "creds: maria:■"),
        (f"heslo je {P}", "heslo je ■"),
        (f"Pass phrase for key: {P}", "Pass phrase for key: ■"),
        (f"https://s.azurewebsites.net/api/o?code={R[:50]}==&x=1", "https://s.azurewebsites.net/api/o?code=■&x=1"),
        ("otpauth://totp/Shop:maria?secret=" + "EGLS3ZZ6VETDNHIB&issuer=Shop", "otpauth://totp/Shop:maria?secret=■&issuer=Shop"),
        (f"deploy with prod:happy-otter-12|{H}{H}", "deploy with ■"),
    ],
)  # fmt: skip
def test_cuts_the_secret_and_nothing_else(text: str, left: str) -> None:
    assert cut(text) == left


SHAPES_OF_2026 = (
    "sk_org_live_{A40}", "ek_live_{A40}", "AC{H32}:{H32}", "amzn.mws.{H8}-{H4}-4{H3}-a{H3}-{H12}",
    "amzn1.oa2-cs.v1.{H64}",
    "pat-eu1-{H8}-{H4}-4{H3}-a{H3}-{H12}", "dG9rO{B55}=", "2/{D16}/{D16}:{H32}", "1/{D16}:{H32}", "pk_{D8}_{X32}",
    "ATTA{H64}{X8}", "pa-{U43}", "m0-{A40}", "fc-{H32}", "bb_live_{U27}", "e2b_{H40}", "ak-{A22}", "rpa_{X36}{A6}",
    "llx-{A48}", "sk_{U43}", "esecret_{L26}", "key_{H64}", "wk-1.{H64}", "lin_wh_{A40}", "xau_{A38}", "fnAE{U36}",
    "00{U40}", "secret-live-{U36}=", "access_token$production${L16}${H32}", "u+{U18}", "hcaik_{L58}", "DO00{X16}",
    "xaat-{H8}-{H4}-4{H3}-a{H3}-{H12}", "NRII-{U32}", "{H36}FFFFNRAL", "phx_{A43}", "tk-us-{U48}", "cmVmdGtu{A56}",
    "2{A26}_{A20}", "eyJhIjoi{A120}", "akab-{L16}-{L16}", "{H32}-{H8}-{H8}", "KEY0{X31}_{A22}", "IGQ{U150}",
    "syt_{A8}_{A20}_{A6}", "cnvca{U50}", "sk{A150}", "MC5{A40}.{U60}", "prtapi_{H32}", "cs_{H40}", "live_{U40}",
    "pdl_live_apikey_{L26}_{A22}_{A3}", "AQE{A60}-{B43}=-{A16}", "{A11}:APA91b{U134}",
)  # fmt: skip


@together("shape", SHAPES_OF_2026)
def test_tokens_of_known_shapes_are_cut_whole(shape: str) -> None:
    for seed in range(5):
        token = draw(shape, random.Random(seed))
        for around in ("{}", "Use `{}` for it.", '{{"note": "{}"}}'):
            assert cut(around.format(token)) == around.format("■"), token


@together(
    "text",
    [
        # Code that calls something named so.
        "token = oauth2_client.fetch_token(url)",
        "access_token = auth0_client.get_access_token()",
        "token = self.oauth2_provider.issue_token(user)",
        'secret = k8s_client.read_namespaced_secret("db", "prod")',
        "api_key = settings.auth0_client_secret",
        "password = base64.b16encode(raw)",
        "password = user2.password_v2 or default",
        "const token = (await signIn(user2)).accessToken;",
        "token = os.getenv('SERVICE_TOKEN_V2')",
        "api_key = os.environ['OPENAI_API_KEY']; token = get_token(user)",
        "if password != confirm_password2: raise ValueError('passwords differ')",
        "client_secret: SecretStr2 | None = Field(default=None, alias='clientSecret')",
        "auth = HTTPBasicAuth(user, password)",
        "private_key = load_pem_private_key(pem_bytes, password=None, backend=default_backend())",
        "password = $DB_PASSWORD_2; token = %API_TOKEN2%; secret: !vault2 x; key: &anchor2",
        "f(self, private_key: ed25519.Ed25519PrivateKey) -> ed25519.Ed25519PrivateKey:",
        "my ($user, $pass) = CPAN::HTTP::Credentials->$cred_method2;",
        "int x509_crq_set_challenge_password(gnutls_x509_crq_t crq, const char *pass);",
        "tests now pass on AIX (Sam) [#29054](https://github.com/nodejs/node/pull/29054)",
        "password: $2b$12$" + R,
        'oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")',
        "class PasswordField2(CharField): strip = False",
        # What browsers are given.
        "STRIPE_KEY=pk_live_51H8xYzKJbT2vXwQmN7",
        f"POSTHOG_KEY=phc_{R[:43]}",
        f"SENTRY_DSN=https://{H}@o123456.ingest.sentry.io/4501234 or https://{H}@sentry.shop.internal/2",
        # Tokens that page and repeat; names of things.
        '{"query": "x", "page_token": "CAUQAAbc9dE1fG2hI3jK"}',
        '{"NextToken": "eyJ2IjoiMiIsImMiOiJ1WjNx"}',
        '{"nextPageToken": "' + R[:40] + '"}',
        f'client_request_token = "{UUID}"',
        f"Idempotency-Key: {UUID}",
        f"cursor_token={R[:32]}",
        'tokenizer = "Qwen/Qwen2.5-7B-Instruct"',
        "tokenizer: sentence-transformers/all-MiniLM-L6-v2",
        "secret: letsencrypt-prod-2024-account-key",
        "credentials: include-same-origin-2",
        "secretName: shop-tls-2026-03",
        f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-{R[:6]}",
        f"token contract: 0x{H}{H[:8]}",
        f"kid: {R[:43]}",
        # What is said of passwords.
        "Password: minimum-8-chars-1-digit",
        "PWD=/home/user/project-2024",
        "The password is required before step 2.",
        "密码：至少8位，包含数字和字母",
        "The secret to good bread: 75%-hydration dough",
        "seed phrase: a list of twelve words that the wallet shows once when you set it up for the first time",
        "The key insight: secret ingredients make a token gesture of a password policy.",
        # Digests, identifiers, addresses.
        f"sha256: {H}{H}",
        f"commit {H}{H[:8]}",
        f"python@sha256:{H}{H}",
        f'"integrity": "sha512-{R}{R[:30]}=="',
        f"request_id={UUID}",
        f"0x{H}{H[:8]}",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + R[:43] + " maria@laptop",
        f"-----BEGIN PUBLIC KEY-----\n{BODY}\n-----END PUBLIC KEY-----",
        f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        # Identifiers and names in the shapes of tokens.
        f"chatcmpl-{R[:29]} msg_01{R[:22]} resp_{H}{H[:18]} cus_{R[:14]} cs_live_a1{R}",
        '"AWS::ApiGateway::ApiKey": "48205d4ffd7feba3",',
        f"options         freq pass\nUUID={UUID}  /",
        "fc-bg fc-event-title-container-2 key_press_event_handler_2 secret-live-stream-of-the-band-on-saturday-night-2",
        "dev: run|build|test, u+1F600, FILE_PAT=*.log2",
        "otpauth://totp/Example:alice?secret=" + "JBSWY3DPEHPK3" + "PXP&issuer=Example",
        "echo $SUDO_PASS | sudo -S apt update; net use Z: \\\\nas\\share /user:maria *",
        'gh secret set NPM_TOKEN --body "$NPM_TOKEN_2"',
        # Placeholders and test values.
        "DATABASE_URL=postgres://postgres:postgres@localhost:5432/app",
        "export OPENAI_API_KEY=sk-your-key-here-xxxxxxxxxxxxxxxx",
        "password=<your password>",
        "redis://:${REDIS_PASSWORD}@cache:6379",
        "api_key: {{ lookup('env', 'API_KEY_2') }}",
        "Authorization: Bearer $TOKEN_V2",
        "password: hunter2, password123, changeme1!",
        "net user /domain; net user guest /active:no; net user anna *",
        "psk = getpass.getpass('WPA2: ')",
        "https://store.example/app?appid=730&l=english",
        "AKIAIOSFODNN7" + "EXAMPLE and wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
    ],
)
def test_leaves_alone_what_only_looks_so(text: str) -> None:
    assert cut(text) == text


PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"


@together(
    "block",
    [
        PEM,
        PEM.replace("\n", "\r\n"),
        PEM.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B2C\n\n", 1),
        PEM.replace("RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK").replace("-----\n", "-----\nVersion: GnuPG v2\n\n", 1),
        PEM.replace("-----BEGIN RSA", "---- BEGIN SSH2 ENCRYPTED").replace("KEY-----", "KEY ----", 1)
        .replace("-----END RSA", "---- END SSH2 ENCRYPTED").replace("KEY-----", "KEY ----"),
        PEM.replace("\n", "\n> "),
        "\n".join(f"{number:5}  {line}" for number, line in enumerate(PEM.split("\n"))),
        "\n".join(f'    "{line}\\n" +' for line in PEM.split("\n")),
        "\n".join(f"+{line}" for line in PEM.split("\n")),
        "\n".join(f"// {line}" for line in PEM.split("\n")),
        json.dumps(PEM),
        json.dumps(json.dumps(PEM)),
        PEM.replace("\n", " "),
        PEM.replace("\n", "<br>"),
        PEM.rpartition("\n")[0],
        PEM.replace(BODY, "\n".join([BODY] * 300)),
        PEM.replace("RSA PRIVATE KEY", "OpenVPN Static key V1"),
    ],
)  # fmt: skip
def test_of_a_key_block_no_line_stays(block: str) -> None:
    left = cut(f"Before.\n{block}\nAfter, all is well.")
    assert "Before." in left
    assert "After, all is well." in left
    assert not any(line in left for line in BODY.split("\n"))


def test_putty_keys_are_cut_to_their_last_line() -> None:
    text = (
        f"PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: me\nPublic-Lines: 9\n{BODY}\n"
        f"Private-Lines: 9\n{BODY}\nPrivate-MAC: {H}{H[:8]}\nThat is all."
    )
    assert cut(text) == "■\nThat is all."


def test_a_mention_of_a_block_does_not_reach_into_the_text_behind() -> None:
    text = f"Look for a line like -----BEGIN PRIVATE KEY----- in it. Then run the tool.\n{PEM}\nDone."
    assert cut(text) == "Look for a line like -----BEGIN PRIVATE KEY----- in it. Then run the tool.\n■\nDone."


def test_overlapping_finds_are_one() -> None:
    text = f"Authorization: Bearer ghs_7654321_{JWT}"
    assert cut(text) == "Authorization: Bearer ■"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("aws_access_key_id = AKIAIOSFODNN7" + "EXAMPLE", "the example key of AWS's documentation"),
        ("sk_test_4eC39HqLyjWDarj" + "tT1zdp7dc", "the test key of Stripe's documentation"),
        (
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2M"
            "jM5MDIyfQ"
            ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
            "the example token of jwt.io",
        ),
        ("api_key = 'YOUR_API_KEY_" + H[:12] + "'", "a placeholder"),
        ("password = 'Password123!'", "a password that examples use"),
        ("password: abcd1234", "a placeholder"),
        ("Authorization: Basic czZCaGRSa3F0MzpnWD" + "FmQmF0M2JW", "an example of RFC 6749"),
    ],
)  # fmt: skip
def test_says_why_a_test_value_is_left_alone(text: str, reason: str) -> None:
    assert RULE.find(text) == {}
    assert set(spared(text).values()) == {reason}


def test_a_secret_in_an_encoded_manifest_is_found_where_it_stands() -> None:
    encoded = base64.b64encode(f"the API key: {H} of the shop".encode()).decode()
    detector = RuleDetector(shipped()["secrets"], secrets.RULE)
    text = Text(f"data: {encoded} end", "response")
    (answer,) = Panel([detector]).ask([Question(text)])
    ((start, end, _),) = answer.opinions[0].spans
    assert text.text[start:end] == encoded


@given(st.text(max_size=200))
def test_any_text_around_a_token_leaves_its_place_right(around: str) -> None:
    token = "ghp_" + R[:36]
    text = f"{around} {token} {around}"
    assert token not in cut(text)


HOSTILE = (
    *("a", "4", "!", "...", "-", "=", ":", "'", "\"'", "`" * 3, "<", "> ", "|", "| - ", "|-\n", ",", "\n", "\\n", "\0"),
    *("é", "key=", "api_key=", "token: ", "token,", "password ", "password: '", "secret(", "pass" * 3, "KEY_"),
    *("api key for ", "eyJaaaaaaaaa.", "https://a:", "://", "://a:b", "sk-a1B", "sk-", "ghp_", "AKIA", "SG.", "xoxb-"),
    *(":AA", "-us1", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + R + "\n", "A" * 63 + "\n"),
    *("PuTTY-User-Key-File-2: ", "curl -u ", "mysql -p", "docker login ", "authorization: ", "cookie: a=b; "),
    *("cookie: sid=", "<input ", ":5432:", '"d"', "seed phrase: word ", "phrase", "mnemonic is abandon ", "\ud800"),
    *("user,password\n", "| password |\n|---|\n", "密码：", "пароль "),
)


@together("unit", HOSTILE)
def test_hostile_text_is_searched_in_linear_time(unit: str) -> None:
    text = (unit * size(64_000))[: size(64_000)]
    started = time.process_time()
    RULE.find(text)
    assert time.process_time() - started < 5  # of this process alone; a quadratic search of this size takes minutes


@pytest.mark.slow
def test_a_megabyte_of_one_character() -> None:
    assert RULE.find("a" * LIMIT) == {}


@pytest.mark.slow
@pytest.mark.parametrize("half", [sets.DEV, sets.HELD_OUT])
def test_the_labelled_set_without_its_files(half: int) -> None:
    items = [*sets.positives(half), *sets.negatives(half, with_files=False)]
    found, seconds = ours(RULE.find, items)
    result = score(found, items, seconds)
    assert result.recall >= 0.95
    assert result.precision >= 0.98


@pytest.mark.slow
def test_the_halves_share_nothing() -> None:
    dev, held_out = ({item.kind for item in sets.positives(half)} for half in (sets.DEV, sets.HELD_OUT))
    assert not dev & held_out
    assert len(dev | held_out) >= 60
    assert len(sets.positives(sets.HELD_OUT)) >= 600


def test_a_token_whose_letters_and_digits_go_up_in_turn_is_cut_all_the_same() -> None:
    token = "ghp_" + "9aB3cD4eF5gH6iJ7kL8mN9oP0qR1sT2uV3wX"
    assert token not in cut(f"The key is {token}.")
