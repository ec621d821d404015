"""A pool knows the database that it was opened for."""

import pytest
from psycopg import OperationalError

from processors.database.pool import Connection, Pool


@pytest.mark.parametrize("found", [(None,), (8, 1), (7, 2), (None, 1)])
async def test_another_database_of_the_same_name(found: tuple[int | None, ...]) -> None:
    """Its table of positions is another one or not there yet, or its server is another one."""
    pool = Pool("", open=False, connection_class=Connection)
    pool.check_database(7, 1)
    pool.check_database(7)
    pool.check_database(7, 1)

    with pytest.raises(OperationalError, match="a dump was restored"):
        pool.check_database(*found)

    assert "'The database was restored'" in str(pool.replaced)
