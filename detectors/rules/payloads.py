"""Attack commands and payloads in code blocks and shell lines: what runs as it stands, not talk about it.

The shapes are those that public detection rules and incident reports describe. Nothing here can be run; a match says
that a text carries something of that shape, and targets that are one's own machine or a training range are let
through. Confidence above 0.7: hardly ever anything else. Up to 0.7: also found in lessons on defence, and let through
where words of defence stand beside it.
"""

import re

from detectors.rules.patterns import Pattern, pattern_rule

SLUG = "cyberattack_misuse"

# One's own machine, and ranges that invite attacks.
_OWN_TARGETS = (
    "localhost", "127.0.0.1", "::1", "scanme.nmap.org", "vulnweb.com", "juice-shop", "dvwa", "hackthebox",
    "metasploitable", "webgoat", "example.com", "example.org",
)  # fmt: skip
_DEFENCE = (
    "prevent", "sanitiz", "sanitis", "parameteri", "prepared statement", "mitigat", "protect", "defend", "defence",
    "defense", "detect", "never run", "do not run", "don't run", "avoid", "vulnerable to", "secure coding", "escap",
    "blocked", "waf", "patch", "danger", "warning", "caution", "cannot assist", "can't assist", "destroy", "exhaust",
)  # fmt: skip
# Rules that look for attacks quote them.
_DETECTION_RULES = ("nocase", "yara", "sigma rule", "alert tcp", "logsource:")
# Installers that are published as one line to pipe into a shell.
_INSTALLERS = ("chocolatey.org", "get.scoop.sh", "aka.ms/", "astral.sh", "sh.rustup.rs", "deno.land", "bun.sh")
_SHELL = r"[\"']?(?:/usr)?(?:/bin/)?(?:(?:ba|z|k|da|c)?sh|cmd(?:\.exe)?|powershell(?:\.exe)?)\b"


def _sure(label: str, hints: str, expression: str, confidence: float = 0.95, around: str = "") -> Pattern:
    """`hints` and `around`: words between bars."""
    compiled = re.compile(expression, re.IGNORECASE)
    return Pattern(
        label, _words(hints), compiled, confidence, fold=True, around=_words(around), unless=_DETECTION_RULES
    )


def _tool(hints: str, expression: str, confidence: float = 0.85, around: str = "") -> Pattern:
    compiled = re.compile(rf"(?<![\w/-])(?:{expression})", re.IGNORECASE)
    return Pattern(
        "attack_tool", _words(hints), compiled, confidence, fold=True, around=_words(around), unless=_OWN_TARGETS
    )


def _soft(label: str, hints: str, expression: str, confidence: float = 0.5, around: str = "") -> Pattern:
    compiled = re.compile(expression, re.IGNORECASE)
    return Pattern(label, _words(hints), compiled, confidence, fold=True, around=_words(around), unless=_DEFENCE)


def _words(listed: str) -> tuple[str, ...]:
    return tuple(filter(None, listed.split("|")))


_REVERSE_SHELLS = (
    _sure(
        "reverse_shell", "/dev/tcp/|/dev/udp/", r"\b(?:ba|z|k)?sh\s{1,3}-i\s{0,3}[0-9>&<]{1,6}\s{0,2}/dev/(?:tc|ud)p/",
    ),
    _sure(
        "reverse_shell", "/dev/tcp/|/dev/udp/", r"\bexec\s{1,3}\d{1,3}<>\s{0,2}/dev/(?:tc|ud)p/", 0.8,
        "sh|cat <&|while read",
    ),
    _sure(
        "reverse_shell", "nc|netcat",
        r"\bn(?:c|cat|etcat)(?:\.exe|\.traditional)?\s[^\n|;&]{0,80}?-[a-z]{0,5}[ec]\s{1,2}" + _SHELL,
    ),
    _sure(
        "reverse_shell", "mkfifo|mknod", r"\bmk(?:fifo|nod)\s{1,3}/\S{1,60}",
        around="| nc |nc -|| ncat |netcat|openssl s_client",
    ),
    _sure(
        "reverse_shell", "dup2", r"\bdup2\s{0,2}\(\s{0,2}\w{1,32}(?:\.fileno\(\))?\s{0,2},\s{0,2}[012]\s{0,2}\)",
        around="socket|sockaddr",
    ),
    _sure("reverse_shell", "pty.spawn", r"pty\.spawn\(\s{0,2}\[?[\"'](?:/bin/)?(?:ba)?sh", around="socket"),
    _sure("reverse_shell", "fsockopen", r"\bfsockopen\s{0,2}\(", 0.9, "/bin/sh|proc_open|shell_exec|exec(|cmd.exe"),
    _sure(
        "reverse_shell", "tcpclient", r"net\.sockets\.tcpclient", around="iex|invoke-expression|cmd.exe|powershell.exe",
    ),
    _sure("reverse_shell", "tcpsocket", r"\btcpsocket\.(?:new|open)\s{0,2}\(", 0.9, "/bin/sh|exec|popen"),
    _sure("reverse_shell", "socat", r"\bsocat\s[^\n]{0,120}?exec:[\"']?(?:/bin/)?(?:ba)?sh"),
    _sure("reverse_shell", "socket::inet|io::socket", r"\bio::socket::inet|\bsocket::inet\b", 0.9, "/bin/sh|exec"),
)  # fmt: skip
_WEB_SHELLS = (
    _sure(
        "web_shell", "$_",
        r"\b(?:eval|assert|system|exec|shell_exec|passthru|popen|proc_open)\s{0,3}\(\s{0,3}(?:@?\w{1,24}\s{0,3}\("
        r"\s{0,3}){0,3}@?\$_(?:get|post|request|cookie|server|files)\b", 0.97,
    ),
    _sure(
        "web_shell", "eval", r"\beval\s{0,3}\(\s{0,3}(?:base64_decode|gzinflate|gzuncompress|str_rot13)\s{0,3}\(", 0.9,
    ),
    _sure("web_shell", "getparameter", r"getruntime\(\)\s{0,2}\.exec\(\s{0,3}request\.getparameter", 0.97),
    _sure("web_shell", "eval", r"\beval\s{0,2}\(?\s{0,2}request(?:\.item)?\s{0,2}[\[(]\s{0,2}[\"']"),
    _sure(
        "web_shell", "child_process",
        r"child_process['\"]?\)?\.exec(?:sync)?\(\s{0,3}req(?:uest)?\.(?:query|body|params)", 0.9,
    ),
)  # fmt: skip
_WINDOWS = (
    _sure(
        "encoded_powershell", "powershell|pwsh",
        r"\b(?:powershell|pwsh)(?:\.exe)?[^\n]{0,120}?\s[-/]e(?:n?c?|nco?d?e?d?c?o?m?m?a?n?d?)"
        r"\s{1,3}[\"']?[a-z0-9+/=]{24}", 0.9,
    ),
    Pattern(
        "download_cradle", ("downloadstring", "iwr", "irm", "invoke-webrequest", "invoke-restmethod"),
        re.compile(
            r"\b(?:iex|invoke-expression)\b[\s(&]{0,6}(?:new-object\s{1,3}(?:system\.)?net\.webclient\)?\s{0,2}\)?\.downloadstring"
            r"|(?:iwr|irm|invoke-webrequest|invoke-restmethod)\b)", re.IGNORECASE,
        ), 0.8, fold=True, around=("hidden", "bypass", "-nop", "-noni", "-enc"), unless=_INSTALLERS,
    ),
    _sure(
        "defence_evasion", "amsi", r"\bamsi(?:utils|initfailed|scanbuffer|context)\b", 0.9,
        "getfield|setvalue|virtualprotect|patch|getprocaddress",
    ),
    _sure(
        "defence_evasion", "set-mppreference",
        r"set-mppreference\s{1,3}-disable(?:realtimemonitoring|ioavprotection|behaviormonitoring)\s{1,3}\$?(?:true|1)",
        0.8,
    ),
    _sure("defence_evasion", "ms-settings", r"ms-settings\\+shell\\+open\\+command", 0.9),
    _sure("defence_evasion", "wevtutil", r"\bwevtutil(?:\.exe)?\s{1,3}cl\s{1,3}(?:security|system|application)", 0.8),
    _sure(
        "process_injection", "createremotethread|ntcreatethreadex|queueuserapc",
        r"\b(?:createremotethread|ntcreatethreadex|queueuserapc)\b", 0.85,
        "writeprocessmemory|virtualallocex|ntwritevirtualmemory",
    ),
    _sure(
        "shellcode", "\\x", r"(?:\\x[0-9a-f]{2}){16}", 0.85,
        "shellcode|virtualalloc|createthread|execve|mmap|void(*)|void (*)|nop sled",
    ),
)  # fmt: skip
_CREDENTIALS = (
    _sure(
        "credential_dumper", "::",
        r"\b(?:sekurlsa|lsadump|dpapi|vault)::[a-z]{3,24}|\bkerberos::(?:golden|ptt|list|tgt|silver)|\bmisc::skeleton",
    ),
    _sure(
        "credential_dumper", "mimikatz",
        r"\binvoke-mimikatz\b|\bmimikatz(?:\.exe)?\s{1,3}[\"'](?:privilege|sekurlsa|lsadump)",
    ),
    _sure("credential_dumper", "lsass", r"\bprocdump(?:64)?(?:\.exe)?\s{1,3}(?:[-/]\w{1,12}\s{1,3}){0,6}lsass"),
    _sure("credential_dumper", "comsvcs", r"comsvcs\.dll[,\s#\"']{1,6}(?:minidump|24)\b"),
    _sure("credential_dumper", "hklm", r"\breg(?:\.exe)?\s{1,3}save\s{1,3}hklm\\+(?:sam|security|system)\b", 0.9),
    _sure("credential_dumper", "minidumpwritedump", r"\bminidumpwritedump\s{0,2}\(", 0.8, "lsass"),
    _sure(
        "credential_dumper", "login data", r"\\+google\\+chrome\\+user data\\+default\\+login data", 0.85,
        "cryptunprotectdata|decrypt|sqlite|local state",
    ),
    _tool("secretsdump", r"(?:impacket-)?secretsdump(?:\.py)?\s{1,3}\S", 0.95),
    _tool("lazagne", r"lazagne(?:\.exe|\.py)?\s{1,3}(?:all|browsers)\b", 0.95),
    _tool("ntdsutil", r"ntdsutil[^\n]{0,60}?\bifm\b", 0.9),
)  # fmt: skip
_TOOLS = (
    _tool("msfvenom", r"msfvenom\s{1,3}-{1,2}\w", 0.95),
    _sure(
        "attack_tool", "meterpreter|reverse_tcp|reverse_http|shell_reverse",
        r"\b(?:windows|linux|php|java|python|cmd|osx|android|ruby|nodejs)/(?:x64/|x86/|unix/)?(?:meterpreter|shell"
        r"|reverse)[/_][a-z_]*(?:reverse|bind|tcp|bash)",
    ),
    _tool("use exploit/", r"use\s{1,2}exploit/(?:windows|multi|unix|linux|osx|android)/"),
    _tool(
        "sqlmap", r"sqlmap(?:\.py)?\s{1,3}-",
        around="--dump|--os-shell|--os-pwn|--sql-shell|--dbs|--tables|--passwords",
    ),
    _tool(
        "hydra", r"hydra\s{1,3}(?:-\w|\S{1,60}\s{1,2}-\w)", around=" -p |-p /|rockyou|passlist|passwords.txt|wordlist",
    ),
    _tool("medusa|ncrack|patator", r"(?:medusa|ncrack|patator)\s{1,3}(?:-\w|\w{2,12}_login)", 0.8),
    _tool("crackmapexec|netexec|nxc ", r"(?:crackmapexec|netexec|nxc)\s{1,3}(?:smb|winrm|ldap|mssql|ssh|rdp|wmi)\s"),
    _tool(
        "exec.py|getuserspns|getnpusers|ntlmrelayx|ticketer",
        r"(?:(?:impacket-)?(?:psexec|wmiexec|smbexec|atexec|dcomexec|getuserspns|getnpusers|ntlmrelayx|ticketer)"
        r"(?:\.py)?)\s{1,3}[-\w]", 0.85,
    ),
    _tool("responder", r"responder(?:\.py)?\s{1,3}-i\s"),
    _tool("rubeus", r"rubeus(?:\.exe)?\s{1,3}(?:kerberoast|asreproast|ptt|asktgt|dump|golden)\b", 0.95),
    _tool(
        "bloodhound|sharphound",
        r"(?:sharphound(?:\.exe|\.ps1)?|bloodhound-python|invoke-bloodhound)\s{1,3}-{1,2}[a-z]", 0.75,
    ),
    _tool(
        "arpspoof|ettercap|bettercap", r"(?:arpspoof\s{1,3}-i|ettercap\s{1,3}-t|bettercap\s{1,3}-(?:i|eval|caplet))",
        0.8,
    ),
    _tool(
        "aireplay-ng|aircrack-ng|mdk3|mdk4|reaver",
        r"(?:aireplay-ng\s{1,3}(?:-0|--deauth)|aircrack-ng\s[^\n]{0,60}?-w\s|mdk[34]\s{1,3}\w{3,16}\s{1,2}[da]\b"
        r"|reaver\s{1,3}-i)",
    ),
    _tool(
        "hping3|slowloris|goldeneye|xerxes|loic|hulk.py",
        r"(?:hping3\s[^\n]{0,100}?--flood|(?:slowloris|goldeneye|xerxes|loic|hulk)(?:\.py)?\s{1,3}(?:-|https?://|\d))",
    ),
    _tool("nmap", r"nmap\s[^\n]{0,120}?--script[= ][\"']?[^\s\"']{0,60}(?:vuln|exploit|brute|backdoor)", 0.75),
    _tool("hashcat|john", r"(?:hashcat\s{1,3}-[ma]\s{0,2}\d|john\s{1,3}--(?:wordlist|format|incremental))", 0.6),
    _tool(
        "empire|covenant|sliver|cobaltstrike",
        r"(?:generate\s{1,3}(?:beacon\s{1,3})?--(?:mtls|http|dns)\s|teamserver\s{1,3}\d{1,3}\.\d)", 0.85,
    ),
    _tool("evil-winrm", r"evil-winrm\s{1,3}-[iu]\s"),
    _tool("chisel|ligolo", r"(?:chisel(?:\.exe)?\s{1,3}(?:client|server)\s[^\n]{0,80}?(?:socks|--reverse))", 0.7),
)  # fmt: skip
_INJECTIONS = (
    _soft(
        "sql_injection", "' or|' and|\" or|or '1|or 1",
        r"([\"']\s{0,3}\)?\s{0,2}(?:or|and)\s{1,3}[\"']?(\w{1,8})[\"']?\s{0,2}=\s{0,2}[\"']?\2\b[\"']?\s{0,2}(?:--|#"
        r"|/\*|$|[\"';)`]))",
    ),
    _soft(
        "sql_injection", "union",
        r"(?:['\")]|\d|%27)\s{0,3}(?:\+|%20|/\*\*/)?\s{0,3}union(?:\s|\+|%20|/\*\*/){1,3}(?:all(?:\s|\+"
        r"|%20){1,3})?select(?:\s|\+|%20|/\*\*/){1,3}[^\n;]{1,120}?(?:--|#|%23)", 0.7,
    ),
    _soft(
        "sql_injection", "drop",
        r"['\")]\s{0,2};\s{0,3}drop\s{1,3}(?:table|database)\s{1,3}\w{1,40}\s{0,3};?\s{0,3}(?:--|#)", 0.6,
    ),
    _sure("sql_injection", "xp_cmdshell", r"\bxp_cmdshell\s{1,3}['\"]", 0.85),
    _sure(
        "sql_injection", "outfile|dumpfile",
        r"\binto\s{1,3}(?:out|dump)file\s{1,3}['\"][^'\"\n]{1,80}\.(?:php|jsp|aspx?)\b",
    ),
    _soft(
        "sql_injection", "waitfor|sleep(|benchmark(|pg_sleep",
        r"['\")]\s{0,3};?\s{0,3}(?:or|and|select|waitfor|if)?\b[^\n;]{0,40}?(?:waitfor\s{1,3}delay\s{1,3}'0:|"
        r"(?:pg_)?sleep\(\d{1,3}\)|benchmark\(\d{4})", 0.6, "--|#|%23|union",
    ),
    _soft("script_injection", "<script|onerror|onload", r"<script[^>]{0,80}>[^<\n]{0,200}?document\.cookie", 0.7),
    _soft(
        "script_injection", "onerror|onload",
        r"<(?:img|svg|body|iframe|video|input)\b[^>\n]{0,80}?\son(?:error|load|focus)\s{0,2}="
        r"\s{0,2}[\"'`]?[^>\n]{0,60}?(?:alert|prompt|document\.cookie|eval|fetch)\s{0,2}[(`.]", 0.6,
    ),
    _sure("remote_code_injection", "${jndi", r"\$\{jndi:(?:ldaps?|rmi|dns|iiop|nis|corba)://", 0.9),
    _sure("remote_code_injection", "() {|(){", r"\(\)\s{0,2}\{\s{0,2}:;\s{0,2}\}\s{0,2};"),
    _sure(
        "remote_code_injection", "__class__|__globals__|__mro__",
        r"\{\{[^{}\n]{0,80}?__(?:class|globals|mro|subclasses|builtins|init)__", 0.85,
    ),
    _soft(
        "remote_code_injection", "<!entity",
        r"<!entity\s{1,3}%?\s{0,2}\w{1,32}\s{1,3}system\s{1,3}[\"'](?:file|php|expect|gopher)://?", 0.7,
    ),
    _soft(
        "path_traversal", "../|..%2f|..\\",
        r"(?:\.\.(?:/|%2f|\\){1,2}){3,12}(?:etc/(?:passwd|shadow)|windows[/\\]{1,2}(?:win\.ini|system32))", 0.6,
    ),
    _sure(
        "remote_code_injection", "ysoserial",
        r"\bysoserial(?:-all)?(?:\.jar|\.exe|\.net)?\s{1,3}(?:-\w|[A-Z]\w{5,40}\d?)", 0.85,
    ),
)  # fmt: skip
_DESTRUCTIVE = (
    _soft(
        "fork_bomb", ":|:", r":\s{0,2}\(\s{0,2}\)\s{0,2}\{\s{0,2}:\s{0,2}\|\s{0,2}:\s{0,2}&\s{0,2}\}\s{0,2};\s{0,2}:",
        0.97,
    ),
    _soft(
        "fork_bomb", ": |", r":\s{0,2}\(\s{0,2}\)\s{0,2}\{\s{0,2}:\s{1,2}\|\s{0,2}:\s{0,2}&\s{0,2}\}\s{0,2};\s{0,2}:",
        0.97,
    ),
    _sure("fork_bomb", "%0|%0", r"%0\s{0,2}\|\s{0,2}%0"),
    _sure(
        "fork_bomb", "fork",
        r"\bwhile\s{0,2}\(?(?:true|1)\)?\s{0,2}[:{]\s{1,40}(?:os\.)?fork\(\)|\bfork\s{1,2}while\s{1,2}fork\b",
    ),
    _sure(
        "ransomware", "vssadmin|wbadmin|wmic|bcdedit",
        r"\bvssadmin(?:\.exe)?\s{1,3}delete\s{1,3}shadows|\bwbadmin(?:\.exe)?\s{1,3}delete\s{1,3}(?:catalog"
        r"|systemstatebackup)|\bwmic(?:\.exe)?\s{1,3}shadowcopy\s{1,3}delete|\bbcdedit(?:\.exe)?"
        r"\s[^\n]{0,60}?recoveryenabled\s{1,3}no\b",
    ),
    _sure(
        "ransomware", "os.walk|rglob|listdir|getfiles",
        r"\b(?:os\.walk|rglob|os\.listdir|directory\.getfiles)\s{0,2}\(", 0.85,
        ".locked|.encrypted|.crypt\"|.crypt'|ransom|bitcoin|readme_decrypt|how_to_decrypt",
    ),
    _sure(
        "ransomware", "files have been|files are|files were",
        r"\byour\s{1,2}(?:\w{1,12}\s{1,2}){0,2}files\s{1,2}(?:have\s{1,2}been|are|were)\s{1,2}(?:now\s{1,2})?"
        r"(?:encrypted|locked)", 0.75, "bitcoin|btc|monero|decryption key|wallet",
    ),
    _soft(
        "disk_wiper", "rm ",
        r"(?<![\w-])rm\s{1,3}(?:-[rfv]{1,3}\s{1,3}){1,2}(?:--no-preserve-root\s{1,3})?/(?:\*|\s|$|[\"'`;])", 0.7,
    ),
    _sure("disk_wiper", "--no-preserve-root", r"\brm\s[^\n]{0,40}?--no-preserve-root", 0.8),
    _soft(
        "disk_wiper", "of=/dev/", r"\bdd\s{1,3}if=/dev/(?:zero|u?random)\s{1,3}of=/dev/(?:sd|hd|nvme|vd|mmcblk)", 0.6,
    ),
    _sure(
        "keylogger", "pynput|getasynckeystate|setwindowshookex|keyboard.on_press",
        r"\b(?:pynput(?:\.keyboard)?|getasynckeystate|setwindowshookexa?|keyboard\.on_press)\b", 0.8,
        "smtplib|sendmail|requests.post|socket.socket|keylog|webhook",
    ),
)  # fmt: skip

PATTERNS = (*_REVERSE_SHELLS, *_WEB_SHELLS, *_WINDOWS, *_CREDENTIALS, *_TOOLS, *_INJECTIONS, *_DESTRUCTIVE)

RULE = pattern_rule(SLUG, PATTERNS)
