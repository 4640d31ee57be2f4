"""Reads the keys file: YAML into clients and webhooks, every problem with file, line, column and remedy."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from schemas.conform import Conform
from schemas.document import Node, Problem, read_document, shown
from schemas.errors import UsageError
from sources.collect import webhooks
from sources.collect.keys import Client, HookSpec, KeyFile, Keys, SecretSpec, open_to_this_machine
from sources.collect.signatures import Signatures
from sources.collect.webhooks import Hook

#: A shorter secret can be searched. Bytes.
MIN_SECRET_BYTES = 16


def load(path: Path, environment: Mapping[str, str] = os.environ) -> tuple[Keys, dict[str, Hook]]:
    """The clients and hooks of a keys file. Raises UsageError that lists every problem, one a line."""
    root, problems = read_document(path)
    if root is not None and not problems:
        rules = _Rules(path, environment)
        problems = list(rules.problems(root))
        if not problems:
            return rules.compile(msgspec.convert(root.plain(), KeyFile))
    listed = "\n".join(f"  {problem}" for problem in sorted(problems))
    raise UsageError(f"the keys file cannot be used:\n{listed}")


def without_file() -> tuple[Keys, dict[str, Hook]]:
    """Nobody needs a key, and every shipped mapping is a webhook: for the loopback address only."""
    keys = open_to_this_machine()
    assert keys.anonymous is not None
    hooks = {}
    for name in webhooks.shipped_names():
        mapping, table = webhooks.load(name, Path())
        hooks[name] = Hook(name, mapping, table, keys.anonymous, None)
    return keys, hooks


class _Rules(Conform):
    """The types of the file, and what they cannot say."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        super().__init__(str(path), _no_hook, {})
        self._folder = path.parent
        self._environment = environment
        self._secrets: dict[str, bytes] = {}

    def problems(self, root: Node) -> Iterator[Problem]:
        """All problems; the rules beyond the types only once the types fit."""
        misfits = list(self.misfits(root, KeyFile, "the file"))
        yield from misfits
        if misfits:
            return
        file = msgspec.convert(root.plain(), KeyFile)
        names: dict[str, int] = {}
        hook_names: dict[str, int] = {}
        for key, node in zip(file.keys, root.value["keys"].value, strict=True):
            yield from self._once(names, key.name, node.value["name"], "key")
            signed = any(hook.secret is not None for hook in key.hooks)
            if key.sha256 is None and not signed:
                fix = "add `sha256:`, which `corredor collect --new-key NAME` prints"
                yield self.problem(node, f"key `{key.name}` has neither a hash nor a webhook with a secret", fix)
            for index, origin in enumerate(key.origins):
                if "://" not in origin or "/" in origin.split("://", 1)[1]:
                    place = node.value["origins"].value[index]
                    yield self.problem(place, f"{shown(origin)} is no origin", "write it as https://shop.example")
            for hook, place in zip(key.hooks, node.value["hooks"].value if key.hooks else (), strict=True):
                yield from self._once(hook_names, hook.name, place.value["name"], "webhook")
                yield from self._hook(hook, place, key.sha256)

    def compile(self, file: KeyFile) -> tuple[Keys, dict[str, Hook]]:
        """The clients and hooks of a file without problems."""
        clients, hooks = [], {}
        for key in file.keys:
            client = Client(key)
            clients.append(client)
            for spec in key.hooks:
                mapping, table = webhooks.load(spec.mapping, self._folder, spec.table)
                secret = self._secrets.get(spec.name)
                signatures = None if secret is None else Signatures(spec.signature, secret)
                hooks[spec.name] = Hook(spec.name, mapping, table, client, signatures)
        return Keys([client for client in clients if client.has_key]), hooks

    def _once(self, seen: dict[str, int], name: str, node: Node, kind: str) -> Iterator[Problem]:
        if name in seen:
            yield self.problem(
                node, f"duplicate {kind} {shown(name)} (first in line {seen[name]})", "rename one of them"
            )
        seen.setdefault(name, node.line)

    def _hook(self, hook: HookSpec, node: Node, sha256: str | None) -> Iterator[Problem]:
        try:
            webhooks.load(hook.mapping, self._folder, hook.table)
        except UsageError as error:
            yield self.problem(
                node.value["mapping"],
                " ".join(str(error).split()),
                f"shipped are {', '.join(webhooks.shipped_names())}",
            )
        if hook.secret is not None:
            yield from self._secret(hook.name, hook.secret, node.value["secret"])
        elif sha256 is None:
            fix = "add `secret: {env: NAME}`, or a `sha256` to its key"
            yield self.problem(node, f"webhook `{hook.name}` has no secret, and its key no hash", fix)

    def _secret(self, name: str, spec: SecretSpec, node: Node) -> Iterator[Problem]:
        if (spec.env is None) == (spec.file is None):
            yield self.problem(node, "a secret stands in one place", "write `{env: NAME}` or `{file: PATH}`")
            return
        if spec.env is not None:
            secret, where = self._environment.get(spec.env, "").encode(), f"the environment variable {spec.env}"
        else:
            path = self._folder / str(spec.file)
            try:
                secret, where = path.read_bytes().strip(), str(path)
            except OSError as error:
                yield self.problem(node, f"the secret {path} cannot be read ({error.strerror})", "name a readable file")
                return
        if len(secret) < MIN_SECRET_BYTES:
            what = f"{where} holds {len(secret)} bytes" if secret else f"{where} is empty"
            yield self.problem(node, what, f"put the webhook's secret there, at least {MIN_SECRET_BYTES} bytes")
        self._secrets[name] = secret


def _no_hook(kind: type, value: Any) -> Any:
    raise NotImplementedError(f"no way to read {kind}")
