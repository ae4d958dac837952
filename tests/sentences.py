"""Finding every sentence that the till may say to a cashier or an owner, in its own code.

A sentence is a text that is given to a `Finding`, a `Trouble`, a `Verdict` or one of our errors,
in the code that works while the console does; `{}` stands for what changes in it.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "e2ee_ticket"
# A fault of the configuration is told in the words of its file, which are English; and what only a
# command says (check, config export, console) is English as all commands are.
COMMANDS = {"sources/__init__.py", "sources/doorman.py", "sources/http_server.py",
            "sources/dolibarr/settings.py",
            "till/bundle.py", "till/config.py", "till/lock.py", "till/settings_file.py",
            "till/lan_pages.py", "till/lan_server.py", "till/console/app.py",
            "till/console/auth.py", "till/console/held.py", "till/console/meeting.py"}  # fmt: skip
COMMAND_FUNCTIONS = {"check_files", "_check_config_file", "_too_open", "_check_state",
                     "_check_outbox", "_check_room", "check_console", "_check_listening",
                     "_firewall", "_parse_listen", "read_sign"}  # fmt: skip
# What a printing program is answered, and nobody reads here.
ANSWERS = {"sources/ipp_message.py", "sources/ipp_attributes.py"}
NO_SENTENCES = {"total ttc à payer"}
PLACES = ("sources", "till", "client.py", "pdf/inspect.py", "pdf/policy.py", "pdf/sandbox.py",
          "pdf/check.py")  # fmt: skip
SAYS = {"Finding", "Trouble", "Verdict", "Wording", "_well", "_ill", "_true", "hold", "_hold",
        "_warn", "_note_file", "_fail", "_not_taken"}  # fmt: skip
NAMES = {"text", "hint", "why", "remark", "warning", "said"}
FIELDS = {"text", "hint", "message", "said", "warning"}
NOT_SAID = ("TypeError", "ValueError", "RuntimeError", "AssertionError", "_AnswerError",
            "StrangerError", "KeyError", "TimeoutError", "EOFError")  # fmt: skip


def sentences():
    """Return every sentence, and the file it is in."""
    found = {}
    for path in _files():
        name = path.relative_to(ROOT).as_posix()
        if name in COMMANDS | ANSWERS:
            continue
        for node in _walk(ast.parse(path.read_text(encoding="utf-8")), name):
            for text in _texts(node, in_source=name.startswith("sources/")):
                if " " in text.strip("{} .:;"):
                    found.setdefault(text, name)
    return found


def _walk(node, name):
    """Walk through a module, but for what only a command says."""
    yield node
    for child in ast.iter_child_nodes(node):
        named = getattr(child, "name", "")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and (
            named in COMMAND_FUNCTIONS or (name == "till/lan.py" and named == "check")
        ):
            continue
        yield from _walk(child, name)


def _files():
    for place in PLACES:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def _texts(node, *, in_source):
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name == "ConfigError" and in_source:
            return
        if name in SAYS or (name.endswith("Error") and name not in NOT_SAID):
            for value in [*node.args, *(each.value for each in node.keywords)]:
                yield from _read(value)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield from filter(_is_sentence, _read(node.value))
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {getattr(each, "id", getattr(each, "attr", "")) for each in targets}
        if names & NAMES or any(each.lower().endswith(("hint", "hints")) for each in names):
            yield from _read(node.value)
        elif any(each.isupper() for each in names):  # a sentence that is said in several places
            yield from filter(_is_sentence, _read(node.value))


def _is_sentence(text):
    is_code = "\n" in text or "'none'" in text or " IN (" in text
    if is_code or text in NO_SENTENCES:
        return False
    return re.fullmatch(r"[a-z{][^<>=*@%|]*", text) is not None and text.count(" ") > 2


def _read(node):
    """Return the texts that an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            each.value if isinstance(each, ast.Constant) else "{}" for each in node.values
        )
    elif isinstance(node, ast.IfExp):
        yield from _read(node.body)
        yield from _read(node.orelse)
    elif isinstance(node, ast.Tuple | ast.List):
        for each in node.elts:
            yield from _read(each)
    elif isinstance(node, ast.Dict | ast.BoolOp):
        for each in node.values:
            yield from _read(each)


def is_translated(sentence, said):
    """Tell whether a sentence is there, or made of sentences that are, and of what changes."""
    if sentence in said:
        return True
    for key in said:
        pattern = re.escape(key).replace(re.escape("{}"), "(.{1,200}?)")
        if "{}" in key and (found := re.fullmatch(pattern, sentence)):
            return all(" " not in part or is_translated(part, said) for part in found.groups())
    return False
