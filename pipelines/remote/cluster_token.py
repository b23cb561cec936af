"""`crucible token`: makes the token of a Ray cluster and brings it to the nodes."""

from __future__ import annotations

from collections.abc import Sequence

import tyro
from pydantic import BaseModel, ConfigDict

from cluster.auth import MODE, TokenError, make_token, read_token, send_token
from pipelines.errors import fail


class TokenConfig(BaseModel):
    """Makes the token that a Ray cluster asks for, where there is none yet, in a file that this user alone reads.

    crucible token --to USER@NODE1 USER@NODE2, then on every node: export RAY_AUTH_MODE=token, and only then: ray start
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    to: tuple[str, ...] = ()
    """Hosts that get it by ssh, into ~/.ray/auth_token."""
    renew: bool = False
    """Make another, such as after the old one was seen: clusters that run keep the old one until they are restarted."""
    show: bool = False
    """Print the token, and nothing else."""


def main(argv: Sequence[str]) -> int:
    """`crucible token`."""
    config = tyro.cli(TokenConfig, args=list(argv), prog="crucible token")
    try:
        path = make_token(config.renew)
        for host in config.to:
            send_token(host)
            if not config.show:
                print(f"{host} has it")
        if config.show:
            print(read_token())
            return 0
    except TokenError as error:
        return fail(str(error))
    print(f"the token is in {path}; here and on every node: export {MODE}=token, and only then: ray start")
    return 0
