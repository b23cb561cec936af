"""Pushing an iteration's data to a dataset on the Hugging Face hub."""

from __future__ import annotations

import importlib
from pathlib import Path


class PushFailed(RuntimeError):
    """Nothing was pushed; the message is one line."""


def push(folder: Path, repo: str, path_in_repo: str, *, private: bool, endpoint: str = "") -> str:
    """Uploads all files of `folder` in one commit, making the dataset where there is none. Returns its address.

    The token is the environment's (HF_TOKEN) or the one that `hf auth login` stored. Raises PushFailed, also where the
    dataset is to be private and is public.
    """
    from huggingface_hub import HfApi, get_session
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    # The hub's client is httpx or its successor, by version.
    client = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    api = HfApi(endpoint=endpoint or None)
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        if private and not api.repo_info(repo, repo_type="dataset").private:
            raise PushFailed(f"the dataset {repo} is public and hub_private is true; set it to false, or name another")
        done = api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            path_in_repo=path_in_repo,
            commit_message=f"Add {path_in_repo}",
        )
    except (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        client.HTTPError,
        ValueError,  # names that are none
    ) as error:
        raise PushFailed(f"{repo}: {' '.join(str(error).split())[:300]}") from None
    return str(done.commit_url)
