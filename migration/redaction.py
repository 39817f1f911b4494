"""Secrets taken out of text by their shape: what a vendor's error repeats must end in no history, log or callback."""

import re

REDACTED = "[redacted]"

_SHAPES = re.compile(
    r"whsec_[A-Za-z0-9+/=_-]+"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|\b(?:FQoG|FwoG|IQoJ)[A-Za-z0-9+/=]{40,}"
    r"|\b(?i:basic|bearer) [A-Za-z0-9+/_.~=-]{16,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=[?&])(?i:[\w-]{0,64}(?:pass|secret|token|signature|credential|api[-_]?key)[\w-]{0,64}=[^\s&\"']+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"
)
"""Webhook secrets, AWS keys, JSON web tokens, AWS session tokens, credentials, URLs that hold them, private keys."""

_NAMED = re.compile(
    r"""(?ix)
    (   (?<![\w.])(?: (?:proxy-)?authorization | vmware_soap_session | vmware-api-session-id | jsessionid
           | glide_user_session | x-amz-security-token | x-vault-token )
      | (?: password | passwd | passphrase | secret_?access_?key | session_?token | client_?secret | api[_-]?key
          | access_?token | id_?token | refresh_?token )
    )
    ( \\{0,4}["']? \s{0,8} [:=] \s{0,8} \\{0,4}["']? )
    (?! secretsmanager: | env: | \[redacted\] )
    (?: (?:basic|bearer|digest|token) \s+ )?
    [^\s"',;&<>}]{3,}
    """
)
"""What follows a name that only a secret has; a header's name at the end of a JSON path is a field, not a header."""

_COOKIES = re.compile(r"""(?i)(\b(?:set-)?cookie["']?\s{0,8}[:=])[^\r\n}]{3,}""")
"""A header of cookies, to its end."""


def redact_text(text: str) -> str:
    """The text without anything that has a secret's shape, or stands after a secret's name."""
    text = _COOKIES.sub(rf"\1 {REDACTED}", _SHAPES.sub(REDACTED, text))
    return _NAMED.sub(rf"\1\2{REDACTED}", text)
