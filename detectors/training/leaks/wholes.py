"""Secrets with a form of their own: key blocks, URLs, commands, files, headers. Each gives the text and its secrets."""

import base64
import json
import random
import textwrap
from collections.abc import Callable, Mapping

from detectors.training.leaks.formats import PASSWORDS, SEED_WORDS, draw, password

Whole = Callable[[random.Random], tuple[str, tuple[str, ...]]]  # the text, and what of it must not stay

_USERS = ("admin", "deploy", "svc_backup", "shop", "maria", "root", "ci-bot")
_HOSTS = ("db-1.prod.internal", "10.4.2.17", "mongo.eu-west.corp.net", "cache", "repo.acme-labs.dev")


def _drawn(shape: str, secret: str) -> Whole:
    """A text around one drawn secret."""

    def make(rng: random.Random) -> tuple[str, tuple[str, ...]]:
        value = draw(secret, rng)
        return draw(shape.replace("{v}", value), rng), (value,)

    return make


def _url(form: str) -> Whole:
    def make(rng: random.Random) -> tuple[str, tuple[str, ...]]:
        value = draw("{A8-18}", rng) + str(rng.randint(0, 9))
        text = form.format(u=rng.choice(_USERS), h=rng.choice(_HOSTS), p=rng.randint(1000, 9999), v=value)
        return text, (value,)

    return make


def _lines(rng: random.Random, count: int, width: int = 64) -> list[str]:
    return [draw(f"{{B{width}}}", rng) for _ in range(count)]


def _block(title: str, count: int, head: str = "", form: str = "plain") -> Whole:
    """A key block, written as `form` says; every line of its body is a secret."""

    def make(rng: random.Random) -> tuple[str, tuple[str, ...]]:
        body = [*_lines(rng, count - 1), draw("{B38}", rng) + "=="]
        whole = [
            f"-----BEGIN {title}-----",
            *head.splitlines(),
            *([""] if head else []),
            *body,
            f"-----END {title}-----",
        ]
        return _FORMS[form](whole), tuple(body)

    return make


def _quoted(lines: list[str]) -> str:
    return "He sent me this:\n" + "\n".join(f"> {line}" for line in lines) + "\nWhat now?"


def _numbered(lines: list[str]) -> str:
    return "$ cat -n key.pem\n" + "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, 1)) + "\n$ "


def _listed(lines: list[str]) -> str:
    return "\n".join(f"{number}: {line}" for number, line in enumerate(lines, 1)) + "\n"


def _escaped(lines: list[str]) -> str:
    return json.dumps({"type": "service_account", "private_key": "\n".join(lines) + "\n", "client_id": "1"})


def _joined_strings(lines: list[str]) -> str:
    return "key = (\n" + "\n".join(f'    "{line}\\n"' for line in lines) + "\n)\n"


def _concatenated(lines: list[str]) -> str:
    return "String key = " + " +\n    ".join(f'"{line}\\n"' for line in lines) + ";\n"


def _added(lines: list[str]) -> str:
    return "@@ -0,0 +1,9 @@\n" + "\n".join(f"+{line}" for line in lines) + "\n"


def _commented(lines: list[str]) -> str:
    return "\n".join(f"# {line}" for line in lines) + "\nrun()\n"


def _indented(lines: list[str]) -> str:
    return "tls:\n  key: |\n" + textwrap.indent("\n".join(lines), "    ") + "\n  port: 443\n"


def _windows(lines: list[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _cut_off(lines: list[str]) -> str:
    return "\n".join(lines[:-1])


def _cell(lines: list[str]) -> str:
    return "| prod | " + "<br>".join(lines) + " |"


def _one_line(lines: list[str]) -> str:
    return "TLS_KEY=" + " ".join(lines)


_FORMS: Mapping[str, Callable[[list[str]], str]] = {
    "plain": "\n".join,
    "quoted": _quoted,
    "numbered": _numbered,
    "listed": _listed,
    "escaped": _escaped,
    "joined strings": _joined_strings,
    "concatenated": _concatenated,
    "added": _added,
    "commented": _commented,
    "indented": _indented,
    "windows": _windows,
    "cut off": _cut_off,
    "cell": _cell,
    "one line": _one_line,
}


def _putty(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    public, private, mac = _lines(rng, 3), _lines(rng, 14), draw("{H64}", rng)
    text = (
        "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: maria@laptop\nPublic-Lines: 3\n"
        + "\n".join(public)
        + "\nPrivate-Lines: 14\n"
        + "\n".join(private)
        + f"\nPrivate-MAC: {mac}\n\nThat is all."
    )
    return text, tuple(private)


def _jwk(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    d = draw("{U43}", rng)
    key = {"kty": "EC", "crv": "P-256", "x": draw("{U43}", rng), "y": draw("{U43}", rng), "d": d, "kid": "k1"}
    return json.dumps(key), (d,)


def _encoded_key(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    block = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(_lines(rng, 12)) + "\n-----END RSA PRIVATE KEY-----\n"
    value = base64.b64encode(block.encode()).decode()
    return f"users:\n- name: admin\n  user:\n    client-key-data: {value}\n", (value,)


def _basic(form: str) -> Whole:
    def make(rng: random.Random) -> tuple[str, tuple[str, ...]]:
        pair = f"{rng.choice(_USERS)}:{password(rng.choice(PASSWORDS), rng)}"
        value = base64.b64encode(pair.encode()).decode()
        return form.format(v=value), (value,)

    return make


def _seeds(form: str, count: int) -> Whole:
    def make(rng: random.Random) -> tuple[str, tuple[str, ...]]:
        words = rng.sample(SEED_WORDS, count)
        numbered = "\n".join(f"{number}. {word}" for number, word in enumerate(words, 1))
        said = " ".join(words)
        return form.format(v=said, l=numbered), ((said,) if "{v}" in form else tuple(words[1:-1]))

    return make


def _passphrase(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    said = " ".join(rng.sample(SEED_WORDS, 5))
    return f'passphrase: "{said}"', (said,)


WHOLES: Mapping[str, Whole] = {
    "rsa key": _block("RSA PRIVATE KEY", 25),
    "pkcs8 key": _block("PRIVATE KEY", 28),
    "ec key": _block("EC PRIVATE KEY", 3),
    "dsa key": _block("DSA PRIVATE KEY", 10),
    "openssh key": _block("OPENSSH PRIVATE KEY", 7),
    "encrypted key": _block("ENCRYPTED PRIVATE KEY", 30),
    "long key": _block("RSA PRIVATE KEY", 400),
    "key with headers": _block("RSA PRIVATE KEY", 25, "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B2C3D4E5F"),
    "pgp key": _block("PGP PRIVATE KEY BLOCK", 60, "Version: GnuPG v2\nComment: of the shop"),
    "ssh2 key": _block("SSH2 ENCRYPTED PRIVATE KEY", 12, "Comment: rsa-key"),
    "cosign key": _block("ENCRYPTED SIGSTORE PRIVATE KEY", 12),
    "quoted key": _block("RSA PRIVATE KEY", 25, form="quoted"),
    "numbered key": _block("RSA PRIVATE KEY", 25, form="numbered"),
    "listed key": _block("EC PRIVATE KEY", 4, form="listed"),
    "escaped key": _block("PRIVATE KEY", 28, form="escaped"),
    "key in strings": _block("RSA PRIVATE KEY", 12, form="joined strings"),
    "key in a concatenation": _block("RSA PRIVATE KEY", 12, form="concatenated"),
    "key in a diff": _block("OPENSSH PRIVATE KEY", 7, form="added"),
    "commented key": _block("RSA PRIVATE KEY", 25, form="commented"),
    "indented key": _block("PRIVATE KEY", 28, form="indented"),
    "key of Windows": _block("RSA PRIVATE KEY", 25, form="windows"),
    "key cut off": _block("RSA PRIVATE KEY", 25, form="cut off"),
    "key in a cell": _block("EC PRIVATE KEY", 3, form="cell"),
    "key in one line": _block("PRIVATE KEY", 28, form="one line"),
    "quoted pgp key": _block("PGP PRIVATE KEY BLOCK", 40, "Version: GnuPG v2", form="quoted"),
    "putty key": _putty,
    "json web key": _jwk,
    "encoded key": _encoded_key,
    "wireguard": _drawn("[Interface]\nAddress = 10.0.0.2/32\nPrivateKey = {v}\n", "{B43}="),
    "ethereum key": _drawn("private key: 0x{v}", "{H64}"),
    "postgres url": _url("postgresql://{u}:{v}@{h}:{p}/app"),
    "mysql url": _url("mysql+pymysql://{u}:{v}@{h}/shop?charset=utf8"),
    "mongo url": _url("mongodb+srv://{u}:{v}@{h}/?retryWrites=true"),
    "redis url": _url("redis://:{v}@{h}:{p}/0"),
    "amqp url": _url("BROKER=amqps://{u}:{v}@{h}:{p}/vhost"),
    "git url": _url("git clone https://{u}:{v}@{h}/acme/shop.git"),
    "smtp url": _url("smtps://{u}:{v}@{h}:465"),
    "ftp url": _url("ftp://{u}:{v}@{h}/incoming"),
    "clickhouse url": _url("clickhouse://{u}:{v}@{h}:9440/default"),
    "proxy url": _url("https_proxy=http://{u}:{v}@{h}:3128"),
    "jdbc url": _url("jdbc:postgresql://{h}:{p}/app?user={u}&password={v}"),
    "curl user": _url("curl -u {u}:{v} https://{h}/v2/orders"),
    "curl user option": _url("curl --silent --user '{u}:{v}' https://{h}/v2/orders"),
    "http auth tuple": _url("requests.get('https://{h}/', auth=('{u}', '{v}'))"),
    "wget": _url("wget --user={u} --password={v} https://{h}/dump.sql"),
    "docker login": _url("docker login -u {u} -p {v} {h}"),
    "mysql client": _url("mysql -h {h} -u {u} -p{v} shop"),
    "redis client": _url("redis-cli -h {h} -a {v} ping"),
    "basic header": _basic("Authorization: Basic {v}"),
    "basic in code": _basic("headers={{'Authorization': 'Basic {v}'}}"),
    "docker config": _basic('{{"auths": {{"registry.acme-labs.dev": {{"auth": "{v}"}}}}}}'),
    "npmrc": _drawn("//registry.acme-labs.dev/:_authToken={v}", "{H8}-{H4}-4{H3}-a{H3}-{H12}"),
    "pypirc": _drawn("[pypi]\nusername = maria\npassword = {v}\n", "{M3}{D2}{A9}"),
    "bearer header": _drawn("Authorization: Bearer {v}", "{A40}"),
    "kubeconfig token": _drawn("users:\n- name: admin\n  user:\n    token: {v}\n", "{A64}"),
    "cookie": _drawn("Cookie: theme=dark; sessionid={v}; lang=en", "{L32}"),
    "set-cookie": _drawn("Set-Cookie: connect.sid=s%3A{v}; Path=/; HttpOnly", "{U32}.{B43}"),
    "azure sas": _drawn(
        "https://shop.blob.core.windows.net/a/b?sv=2024-11-04&sp=r&se=2026-12-31&sig={v}&sr=b", "{A43}%3D"
    ),
    "teams webhook": _drawn(
        "https://acme.webhook.office.com/webhookb2/{v}",
        "{H8}-{H4}-4{H3}-a{H3}-{H12}@{H8}-{H4}-4{H3}-a{H3}-{H12}/IncomingWebhook/{H32}",
    ),
    "google chat webhook": _drawn(
        "https://chat.googleapis.com/v1/spaces/AAAA{X7}/messages?threadKey=a&token={v}", "{U43}"
    ),
    "feishu webhook": _drawn("https://open.feishu.cn/open-apis/bot/v2/hook/{v}", "{H8}-{H4}-4{H3}-a{H3}-{H12}"),
    "dingtalk webhook": _drawn("https://oapi.dingtalk.com/robot/send?access_token={v}", "{H64}"),
    "zapier webhook": _drawn("https://hooks.zapier.com/hooks/catch/{v}/", "{D7}/{L7}"),
    "aws secret": _drawn("region = eu-west-1\naws_secret_access_key = {v}\n", "{B40}"),
    "aws secret in JSON": _drawn('{"Expiration": "2026-03-14T09:12:44Z", "SecretAccessKey": "{v}"}', "{B40}"),
    "terraform provider": _drawn('provider "acme" {\n  token = "{v}"\n}\n', "{A40}"),
    "terraform password": _drawn('resource "db" "shop" {\n  username = "shop"\n  password = "{v}"\n}\n', "{A14}"),
    "yaml below": _drawn("api_key: >-\n  {v}\nregion: eu\n", "{A40}"),
    "seed phrase": _seeds("My seed phrase is: {v}", 12),
    "recovery phrase": _seeds("Recovery phrase ({{24 words}}):\n\n{v}\n", 24),
    "mnemonic": _seeds('MNEMONIC="{v}"', 12),
    "numbered seed phrase": _seeds("Here is your secret recovery phrase:\n{l}\n", 12),
    "passphrase of words": _passphrase,
    "k8s secret": _drawn("kind: Secret\nmetadata:\n  name: shop\nstringData:\n  password: {v}\n", "{M2}{D2}{A10}"),
    "htpasswd command": _url("htpasswd -b .htpasswd {u} {v}"),
    "ldap bind": _url("ldapsearch -x -H ldaps://{h} -D cn={u} -w {v}"),
    "ansible": _url("{h} ansible_user={u} ansible_password={v}"),
    "spring": _url("spring.datasource.username={u}\nspring.datasource.password={v}\n"),
    "odbc": _url("Driver={{PostgreSQL}};Server={h};Port={p};Uid={u};Pwd={v};"),
}
