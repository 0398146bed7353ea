"""The shell session that `keywright dev` prints, to paste into another terminal. A test runs it as printed."""

from keywright.dev.environment import DevEnvironment
from keywright.dev.issuer import DevIssuer
from keywright.dev.sign_in import OPERATORS
from keywright.service.verifiers import Verifiers

TOKEN_SECONDS = 12 * 3600
VERIFIER_NAME = "dev"
OPERATOR_TOKEN = f"keywright dev token --org {OPERATORS} --permissions operate:api_keys"
"""The command that prints a token of the demo's operator."""

# Headings are `echo`es: an interactive zsh runs a comment as a command.
_SESSION = """\
API={url}/api/v2/api-keys
TOKEN_ACME={acme}
TOKEN_GLOBEX={globex}
VERIFIER={verifier}

echo "1. Create a key for Acme; the private key is in this answer only:"
CREATED=$(curl -sS "$API" -H "Authorization: Bearer $TOKEN_ACME" \\
  -H "Content-Type: application/json" -d '{{"name": "Billing export", "description": "Nightly job"}}')
echo "$CREATED"
KEY_ID=$(echo "$CREATED" | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
KEY=$(echo "$CREATED" | sed 's/.*"private_key":"\\([^"]*\\)".*/\\1/')

echo "2. Check it, as your API server does with every request; the server has a credential of its own:"
curl -sS -w '\\n' "$API/verify" -H "Authorization: Bearer $VERIFIER" \\
  -H "Content-Type: application/json" -d "{{\\"key\\": \\"$KEY\\"}}"

echo "3. List the keys of Acme:"
curl -sS -w '\\n' "$API" -H "Authorization: Bearer $TOKEN_ACME"

echo "4. For Globex the key does not exist:"
curl -sS -w '\\n' "$API/$KEY_ID" -H "Authorization: Bearer $TOKEN_GLOBEX"

echo "5. Revoke it for good:"
curl -sS -w '\\n' -X PUT "$API/$KEY_ID/revoke" -H "Authorization: Bearer $TOKEN_ACME"

echo "6. Check it again; every process refuses a revoked key within a second:"
sleep 1
curl -sS -w '\\n' "$API/verify" -H "Authorization: Bearer $VERIFIER" \\
  -H "Content-Type: application/json" -d "{{\\"key\\": \\"$KEY\\"}}"
"""


def script(environment: DevEnvironment, issuer: DevIssuer) -> str:
    """
    Return the session for a POSIX shell with curl and sed.

    Args:
        environment: The running demo.
        issuer: Signs the tokens of the two demo organizations; they are valid for twelve hours.
    """
    return _SESSION.format(
        url=environment.url,
        acme=token(issuer, "acme"),
        globex=token(issuer, "globex"),
        verifier=environment.verifier,
    )


def token(issuer: DevIssuer, organization: str) -> str:
    """Sign an access token for a demo organization, valid for twelve hours."""
    return issuer.token(organization, subject=f"auth0|{organization}", expires_in=TOKEN_SECONDS)


async def verifier_credential(verifiers: Verifiers, former: str | None) -> str:
    """
    Return the credential of the demo's verifier.

    Args:
        verifiers: The verifiers of the demo's database.
        former: The credential of the start before; it is kept if it is still valid, because a server that was started
            beside the demo goes on using it.
    """
    if former is not None and await verifiers.recognize(former) is not None:
        return former
    await verifiers.revoke(VERIFIER_NAME)
    _, credential = await verifiers.create(VERIFIER_NAME)
    return credential.reveal()
