"""Which key a teacher's server gets: each goes to the host that it belongs to, and to no other."""

from __future__ import annotations

import os

from dotenv import dotenv_values
from pydantic import SecretStr

from rollout.teacher.config import TeacherConfig
from rollout.teacher.request_cache import TeacherStopped

NO_KEY = SecretStr("none")
"""What the SDK gets for a server that is sent no key: it wants one."""


def find_keys(config: TeacherConfig) -> tuple[SecretStr, ...]:
    """The key of each of a configuration's teachers, as `find_key`."""
    return tuple(find_key(one) if one.is_served else NO_KEY for one in config.members)


def find_key(config: TeacherConfig) -> SecretStr:
    """The API key, from the environment or else from `env_file`; `NO_KEY` for a server that is sent none.

    Raises TeacherStopped where there is none, or where it must not be sent to the configured server.
    """
    name = config.key_name
    if not name:
        return NO_KEY
    key = (os.environ.get(name) or dotenv_values(config.env_file).get(name) or "").strip()
    if key:
        return permitted_key(config, SecretStr(key))
    if config.is_home:
        other = "use teacher.model=reference, which works offline"
    else:
        other = "leave teacher.key_variable out for a server that wants none"
    raise TeacherStopped(f"there is no API key: set {name} in the environment or in {config.env_file}, or {other}")


def permitted_key(config: TeacherConfig, key: SecretStr) -> SecretStr:
    """What of a key the configured server is sent: all or, where no variable is named for it, nothing.

    Raises TeacherStopped where others on the network could read it, and for characters that no header may hold.
    """
    if not config.key_name or key == NO_KEY:
        return NO_KEY
    if not config.is_private:
        raise TeacherStopped(
            f"the key in {config.key_name} would go to {config.url} for all on the network to read; use https, or "
            "leave teacher.key_variable out to send none"
        )
    text = key.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise TeacherStopped(f"the key in {config.key_name} holds a character that no key has; set it again")
    return key
