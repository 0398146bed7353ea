"""What `keywright doctor` says about rate limits: who counts them, and whether Redis can."""

from keywright.cli.doctor import findings
from keywright.cli.doctor.findings import Finding
from keywright.config import Settings
from keywright.rate_limiting import url as redis_url
from keywright.rate_limiting.connection import RedisCallFailed, RedisConnectionLost
from keywright.rate_limiting.shared import open_tested


async def check(settings: Settings) -> list[Finding]:
    """Look whether what counts the rate limits of keys does so, the way the service would."""
    if settings.redis_url is None:
        return _alone(settings.workers)
    try:
        connection = await open_tested(redis_url.read(settings.redis_url.get_secret_value()))
    except (RedisConnectionLost, RedisCallFailed) as error:
        mend = "Check that it runs, and its address, user and password in KEYWRIGHT_REDIS_URL."
        if settings.limits_on_outage == "refuse":
            return [findings.fail("limits", f"Keys with rate limits would be refused: {error}.", mend)]
        return [findings.warn("limits", f"Every process would count rate limits alone: {error}.", mend)]
    connection.end("it was looked at")
    return [findings.ok("limits", "Redis counts the rate limits of keys.")]


def _alone(workers: int) -> list[Finding]:
    if workers == 1:
        return []
    told = f"{workers} workers count rate limits alone, so together they let up to {workers} times as much through."
    return [findings.warn("limits", told, "Set KEYWRIGHT_REDIS_URL, so that they count together.")]
