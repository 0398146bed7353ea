"""The checks of rate limits: which processes count them, and whether Redis is available."""

from keywright.cli.doctor import results
from keywright.cli.doctor.results import CheckResult
from keywright.config import Settings
from keywright.rate_limiting import url as redis_url
from keywright.rate_limiting.connection import RedisCallFailed, RedisConnectionLost
from keywright.rate_limiting.shared import open_tested


async def check(settings: Settings) -> list[CheckResult]:
    """Check that Redis counts rate limits, with the connection that the service uses."""
    if settings.redis_url is None:
        return _alone(settings.workers)
    try:
        connection = await open_tested(redis_url.read(settings.redis_url.get_secret_value()))
    except (RedisConnectionLost, RedisCallFailed) as error:
        fix = "Check that it runs, and its address, user and password in KEYWRIGHT_REDIS_URL."
        if settings.limits_on_outage == "refuse":
            return [results.fail("limits", f"Keys with rate limits would be refused: {error}.", fix)]
        return [results.warn("limits", f"Every process would count rate limits alone: {error}.", fix)]
    connection.end("the check is done")
    return [results.ok("limits", "Redis counts the rate limits of keys.")]


def _alone(workers: int) -> list[CheckResult]:
    if workers == 1:
        return []
    message = f"{workers} workers count rate limits alone, so together they allow up to {workers} times as much."
    return [results.warn("limits", message, "Set KEYWRIGHT_REDIS_URL, so that they count together.")]
