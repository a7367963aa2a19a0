"""Download from and upload to the Hugging Face hub, with its errors in one line.

Only files of expected names are downloaded: JSON, YAML and safetensors. The hub's client reads the address of the hub
(`HF_ENDPOINT`), the account (`hf auth login`, `HF_TOKEN`), the place of the cache (`HF_HOME`) and whether the network
may be used (`HF_HUB_OFFLINE`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line, nearest

_UNREACHED = ("ConnectError", "ConnectTimeout", "ReadTimeout", "ConnectionError", "ProxyError")
"""Exceptions of the client's transport, httpx or requests, if the hub cannot be reached."""
_LICENSES = (
    "mit apache-2.0 cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0 cc0-1.0 other unknown cc-by-nc-sa-4.0 cc-by-nd-4.0 "
    "cc-by-nc-nd-4.0 afl-3.0 agpl-3.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m "
    "bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-nc-2.0 "
    "cc-by-nc-3.0 cc-by-nc-nd-3.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-sa-3.0 cdla-permissive-1.0 "
    "cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 "
    "etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 "
    "lppl-1.3c mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl "
    "zlib"
)
"""Licences by their names on the hub, https://huggingface.co/docs/hub/repositories-licenses; usual ones first."""
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def download_model(name: str, files: Sequence[str], **client: Any) -> Path:
    """Return the folder of the client's cache that holds a model's files, downloaded if needed.

    Args:
        name: the model's id, `owner/name`.
        files: names of the files; those that the model lacks are skipped.
        client: what `huggingface_hub.snapshot_download` takes: `revision` (branch, tag, commit), `token`, `cache_dir`,
            `force_download` (also what is in the cache), `local_files_only` (the cache alone, without a request).

    Raises:
        UserError: if it cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(files), **client))
    except TypeError:  # an argument that it does not take
        raise
    except Exception as error:  # the hub's client also raises those of its transport
        remedy = ", and the cache has no copy; go online, or copy the model's folder here and name that"
        raise UserError(
            f"no run or saved model at {name}, and {_refusal(error, name, client.get('revision'), remedy)}"
        ) from error


def upload_folder(
    folder: Path,
    name: str,
    *,
    replaced: Sequence[str],
    message: str,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool | None = None,
) -> str:
    """Upload a folder's files to a model on the hub, created if it does not exist, as one commit.

    Args:
        folder: with the files.
        name: the model's id, `owner/name`.
        replaced: patterns of files on the hub that are deleted unless the folder has them.
        message: of the commit.
        private: whether a model created now is private; the owner's setting if None.
        token: of the account; that of the login if None.
        branch: of the commit; the main branch if None.
        create_pr: propose it as a pull request.

    Returns:
        The address of the commit or the pull request.

    Raises:
        UserError: if the hub does not take it.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi(token=token)
        made = api.create_repo(name, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=made,
            folder_path=folder,
            commit_message=message,
            revision=branch,
            create_pr=create_pr,
            delete_patterns=list(replaced),
        )
    except Exception as error:  # as above
        remedy = "; go online, or write the files into a folder (--out, save_pretrained) and push them from elsewhere"
        raise UserError(f"could not push {name}: {_refusal(error, name, branch, remedy)}") from error
    return str(commit.pr_url or commit.commit_url)


def check_license(name: str) -> None:
    """Raise UserError unless the hub has a licence of this name."""
    if name not in (names := _LICENSES.split()):
        guess = nearest(name.lower().replace(" ", "-"), names, 0.75)
        use = f"use one such as {', '.join(names[:7])}"
        raise UserError(f"'{name}' is not a licence identifier of the Hugging Face hub{guess}; {use}")


def check_name(name: str) -> None:
    """Raise UserError unless a model's id is `owner/name`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
        if "/" not in name:
            raise HFValidationError("the owner is missing")
    except HFValidationError as error:
        raise UserError(f"'{name}' is not a model id of the hub: {first_line(error)}; write owner/name") from error


def _refusal(error: Exception, name: str, revision: str | None, unreached: str) -> str:
    """Return what went wrong and how to fix it; ``unreached`` is the remedy if the hub cannot be reached."""
    from huggingface_hub import errors as hub

    if isinstance(error, hub.GatedRepoError):
        return f"on the hub {name} requires accepting its terms: do so on its page, then {_LOG_IN}"
    if isinstance(error, hub.RepositoryNotFoundError):
        return f"the hub has no model {name} that you can access; check the name; if it is private, {_LOG_IN}"
    if isinstance(error, hub.RevisionNotFoundError):
        return f"on the hub {name} has no revision '{revision}'; its page lists branches and commits"
    if isinstance(error, hub.LocalTokenNotFoundError):
        return f"the hub requires a login; {_LOG_IN}"
    offline = isinstance(error, hub.LocalEntryNotFoundError | hub.OfflineModeIsEnabled | ConnectionError)
    if offline or type(error).__name__ in _UNREACHED:
        return f"the hub cannot be reached ({first_line(error).rstrip('.')}){unreached}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, hub.HfHubHTTPError) and status in (401, 403):
        return f"the hub denies access ({status}); {_LOG_IN}, with a token that may write"
    return f"the hub refused: {' '.join(str(error).split())[:300] or type(error).__name__}"
