"""What may not be written down: tokens, keys and passwords, taken out of whatever leaves this process as text.

Comes in: text on its way to a message, a log or a record. Goes out: the text with `***` in their place. Imports no
other room, since errors pass through here.
"""

from __future__ import annotations

import os
import re

MASK = "***"
# HF_TOKEN, AWS_SECRET_ACCESS_KEY, AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN, OPENAI_API_KEY, AZURE_STORAGE_ACCOUNT_KEY, ...
NAMES = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|API_?KEY|ACCESS_KEY(_ID)?|ACCOUNT_KEY)$")
SHORTEST = 8  # `true` or `main` are no secrets, and would go from every sentence
USER = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")
SIGNED = re.compile(r"(?i)([?&][\w-]*(?:signature|credential|token|key|sig)=)[^&\s'\"]+")


def redact(text: str) -> str:
    """Return text without the environment's secrets, hub tokens, users and passwords of URLs, and URLs' signatures."""
    for secret in secrets():
        text = text.replace(secret, MASK)
    return SIGNED.sub(rf"\1{MASK}", HUB_TOKEN.sub(MASK, USER.sub(MASK, text)))


def secrets() -> list[str]:
    """Return the values of variables named like secrets, the longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if NAMES.search(name.upper()) and len(value) >= SHORTEST}
    return sorted(found, key=len, reverse=True)
