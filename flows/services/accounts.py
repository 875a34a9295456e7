"""Accounts of MLflow's server, one per person: by them the promotion log says who acted.

Prefect's own server knows no accounts: everybody uses the same login.
"""

import re
from typing import Any

import requests

from components.common.errors import InputError
from flows.processes.process import ServiceFailed

USERS, PERMISSIONS = "api/2.0/mlflow/users", "api/3.0/mlflow/users/permissions"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}")
# What a person may do with runs and models of others: registering deletes the runs that killed
# processes left, whoever started them, and promoting moves and removes aliases.
GRANTED = {"experiment": "MANAGE", "registered_model": "MANAGE"}
TIMEOUT = 30  # seconds


class Accounts:
    """The accounts of the server at `url`, for its administrator."""

    def __init__(self, url: str, administrator: str, password: str):
        self.url, self.administrator, self._password = url, administrator, password

    def add(self, name: str, password: str) -> None:
        """Create an account that may register and promote.

        Raises InputError if there is one of this name, or the name or the password cannot be used.
        """
        if not NAME.fullmatch(name):
            raise InputError(
                f"the account's name: found {name!r}, expected letters, digits and _ . @ -, at "
                "most 100, as in ana or ana@example.org"
            )
        if name in self.names():
            raise InputError(
                f"there is an account {name!r} already. For a new password remove it first: "
                f"python -m flows.services user remove {name}"
            )
        self._ask("POST", f"{USERS}/create", username=name, password=password)
        for kind, permission in GRANTED.items():
            grant = {"resource_type": kind, "resource_id": "*", "permission": permission}
            self._ask("POST", f"{PERMISSIONS}/grant", username=name, **grant)

    def remove(self, name: str) -> None:
        """Delete an account; raise InputError if there is none or the services need it."""
        if name == self.administrator:
            raise InputError(f"the services themselves use the account {name!r}: keep it")
        if name not in (known := self.names()):
            raise InputError(f"there is no account {name!r}, but: {', '.join(known)}")
        self._ask("DELETE", f"{USERS}/delete", username=name)

    def names(self) -> list[str]:
        """Return the names of all accounts, sorted."""
        return sorted(user["username"] for user in self._ask("GET", f"{USERS}/list")["users"])

    def _ask(self, method: str, path: str, **content: str) -> dict[str, Any]:
        """Return the server's answer; raise InputError if it refuses, ServiceFailed otherwise."""
        login = self.administrator, self._password
        try:
            answer = requests.request(
                method, f"{self.url}/{path}", json=content or None, auth=login, timeout=TIMEOUT
            )
        except requests.RequestException as error:
            raise ServiceFailed(f"MLflow at {self.url} does not answer: {error}") from error
        if answer.status_code == requests.codes.unauthorized:
            raise InputError(
                f"MLflow at {self.url} refuses the password of {self.administrator!r} in "
                "secrets.json. Was it changed in MLflow? Change it back, or correct the file"
            )
        if answer.status_code == requests.codes.bad_request:
            raise InputError(f"MLflow refuses the account: {answer.json().get('message')}")
        if not answer.ok:
            raise ServiceFailed(f"MLflow at {self.url} answers {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else {}
