"""What time a database server shows; `keywright doctor` compares it with the machine's own."""

from datetime import datetime

from keywright.service.faults import StorageUnavailable
from keywright.storage import url as database_url
from keywright.storage.url import SqliteUrl

_NOW = "SELECT clock_timestamp()"


async def server_time(url: str) -> datetime | None:
    """
    Ask the server at *url* for its time, aware; None for a file, which has no clock but this machine's.

    Raises:
        ValueError: The URL is malformed, or names a server that does not keep what it acknowledges.
        StorageUnavailable: The server cannot be reached.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        return None
    # Its driver takes a tenth of a second to import.
    from keywright.storage.pool import connect
    from keywright.storage.postgres_faults import DRIVER_ERRORS, NotDurable

    try:
        connection = await connect(place)
    except NotDurable as error:
        raise ValueError(error.reason) from None
    try:
        shown: datetime = await connection.fetchval(_NOW)
    except DRIVER_ERRORS as error:
        raise StorageUnavailable(f"PostgreSQL: {type(error).__name__}") from error
    finally:
        connection.terminate()
    return shown
