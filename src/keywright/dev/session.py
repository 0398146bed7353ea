"""The shell session that `keywright dev` prints, to paste into another terminal. A test runs it as printed."""

from keywright.dev.issuer import DevIssuer

TOKEN_SECONDS = 12 * 3600

# Headings are `echo`es: an interactive zsh runs a comment as a command.
_SESSION = """\
API={url}/api/v2/api-keys
TOKEN_ACME={acme}
TOKEN_GLOBEX={globex}

echo "1. Create a key for Acme; the private key is in this answer only:"
CREATED=$(curl -sS "$API" -H "Authorization: Bearer $TOKEN_ACME" \\
  -H "Content-Type: application/json" -d '{{"name": "Billing export", "description": "Nightly job"}}')
echo "$CREATED"
KEY_ID=$(echo "$CREATED" | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')

echo "2. List the keys of Acme:"
curl -sS -w '\\n' "$API" -H "Authorization: Bearer $TOKEN_ACME"

echo "3. Get the key:"
curl -sS -w '\\n' "$API/$KEY_ID" -H "Authorization: Bearer $TOKEN_ACME"

echo "4. For Globex the key does not exist:"
curl -sS -w '\\n' "$API/$KEY_ID" -H "Authorization: Bearer $TOKEN_GLOBEX"

echo "5. Revoke it for good:"
curl -sS -w '\\n' -X PUT "$API/$KEY_ID/revoke" -H "Authorization: Bearer $TOKEN_ACME"
"""


def script(url: str, issuer: DevIssuer) -> str:
    """
    Return the session for a POSIX shell with curl and sed.

    Args:
        url: The service's address, without a slash at the end.
        issuer: Signs the tokens of the two demo organizations; they are valid for twelve hours.
    """
    acme, globex = (
        issuer.token(name, subject=f"auth0|{name}", expires_in=TOKEN_SECONDS) for name in ("acme", "globex")
    )
    return _SESSION.format(url=url, acme=acme, globex=globex)
