"""Secrets taken out of text by their shape: what a vendor's error repeats must end in no history, log or callback."""

import re

REDACTED = "[redacted]"

_SHAPES = re.compile(
    r"whsec_[A-Za-z0-9+/=_-]+"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|\b(?:FQoG|FwoG|IQoJ)[A-Za-z0-9+/=]{40,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=[?&])(?i:[\w-]*(?:pass|secret|token|signature|credential|api[-_]?key)[\w-]*=[^\s&\"']+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"
)
"""Webhook secrets, AWS keys, JSON web tokens, AWS session tokens, user info and queries of URLs, private keys."""

_NAMED = re.compile(
    r"""(?ix)
    (   \b(?: authorization | proxy-authorization | cookie | set-cookie | x-amz-security-token | x-vault-token )["']?
        \s*[:=]\s*["']?
      | \b(?: vmware_soap_session | vmware-api-session-id | jsessionid | glide_user_session )["']?\s*[:=]\s*["']?
      | [\w.-]*(?: password | passwd | passphrase | secret_?access_?key | session_?token | client_?secret | api[_-]?key
                 | access_?token | id_?token | refresh_?token )["']?\s*[:=]\s*["']?
    )
    (?! secretsmanager: | env: | \[redacted\] )
    (?: (?:basic|bearer|digest|token)\s+ )?
    [^\s"',;&<>}]{3,}
    """
)
"""What follows a name that only a secret has."""


def redact_text(text: str) -> str:
    """The text without anything that has a secret's shape, or stands after a secret's name."""
    return _NAMED.sub(lambda found: f"{found[1]}{REDACTED}", _SHAPES.sub(REDACTED, text))
