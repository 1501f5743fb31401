"""The walls and the packaging rule, checked from the files themselves (spec: A2, A3, G1)."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cart
import events
import shared
from shared import migrate
from shared.settings import ROOT, variables

CODE = [path for room in ("shared", "events", "cart") for path in sorted((ROOT / room).rglob("*.py"))]
SHELLS = sorted((ROOT / "env").glob("*.sh*"))
PUBLIC_NAME = re.compile(r"^[^#\n]*\b([A-Z][A-Z_]{2,})=", re.MULTILINE)


def committed() -> list[str]:
    """All files git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_import_contracts() -> None:
    """Walls 1 to 3, as written in pyproject.toml."""
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_key_leads_across_the_wall() -> None:
    """Wall 4: no foreign key between tables of events and of cart; shared's tables point at neither."""
    rooms = {mapper.local_table.name: mapper.class_.__module__.split(".")[0] for mapper in _mappers()}
    for table in migrate.metadata().tables.values():
        for key in table.foreign_keys:
            here, there = rooms[table.name], rooms[key.column.table.name]
            assert there in (here, "shared"), f"{table.name} points at {key.column.table.name}"


def test_nothing_loads_itself_unasked() -> None:
    """`lazy=` is always "raise": what is rendered was loaded on purpose (design: Style)."""
    for mapper in _mappers():
        for relation in mapper.relationships:
            assert relation.lazy in ("raise", "raise_on_sql"), relation


def _mappers() -> Iterator[object]:
    from shared.database import Base

    migrate.metadata()
    return iter(Base.registry.mappers)


def test_our_rooms_are_the_ones_imported() -> None:
    """`events` and `shared` are common names: an installed package must not shadow ours."""
    for room in (events, shared, cart):
        assert Path(str(room.__file__)).resolve().is_relative_to(ROOT)
    project = (ROOT / "pyproject.toml").read_text()
    assert "package = false" in project
    assert "[build-system]" not in project


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-node.lock"])
def test_locks(name: str) -> None:
    """Every dependency is pinned with hashes; no address of an index is in the lock (spec: A1)."""
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    assert "--index" not in lock
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        assert re.match(r"[a-z0-9._-]+==\S+( ; .*)? \\\n +--hash=sha256:", entry), entry[:80]
    assert not (ROOT / "uv.lock").exists()


def test_lock_has_every_dependency() -> None:
    """What pyproject.toml asks for is in the lock."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["dependency-groups"].values()]
    names = {re.split(r"[\[<>=!~ ]", requirement)[0] for group in groups for requirement in group}
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert names <= locked


def test_local_configuration_has_examples() -> None:
    """Each *local* file of .envrc has a committed -example twin and is itself ignored (spec: G1)."""
    layers = re.findall(r"layer (\S+\.sh)", (ROOT / ".envrc").read_text())
    files = committed()
    assert layers
    for layer in layers:
        example = f"env/{layer}-example"
        assert (example if "local" in layer else f"env/{layer}") in files
        assert "local" not in layer or f"env/{layer}" not in files
    assert {f"env/{layer}" for layer in layers} | {name for name in files if name.endswith("-example")} >= {
        str(path.relative_to(ROOT)) for path in SHELLS
    }


@pytest.mark.parametrize("path", SHELLS, ids=lambda path: path.name)
def test_each_variable_has_its_reason(path: Path) -> None:
    """The line above each variable, or above its group, is a comment that says why (design: Style)."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"(# )?export [A-Z]", line):
            above = [earlier for earlier in lines[:number] if not re.match(r"(# )?export ", earlier)]
            assert above[-1].startswith("# "), f"{path.name}:{number + 1} says no reason"


def test_every_setting_is_in_env() -> None:
    """What settings.py reads is set or explained somewhere in env/, and nothing else of ours is."""
    explained = {name for path in SHELLS for name in re.findall(r"export ([A-Z_]+)=", path.read_text())}
    for_the_shell = {"PYTHONPATH", "PYTHONUNBUFFERED", "TZ"}
    assert explained - for_the_shell == variables()


def test_each_module_says_what_it_is() -> None:
    """A docstring on every module of the rooms (design: Style)."""
    silent = [path for path in CODE if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_files_and_functions_are_short() -> None:
    """A file past 400 lines or a function past 40 is looked at again (design: Style)."""
    migrations = ROOT / "shared" / "migrations"
    for path in CODE:
        text = path.read_text()
        if path.is_relative_to(migrations):
            continue
        assert text.count("\n") < 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"


def test_no_private_addresses_are_committed() -> None:
    """No path of a machine and no address of a package index in any file of ours."""
    private = re.compile(rb"/home/[a-z]+/|/Users/[A-Z]|https?://[^\s\"]*(?:pypi|npmjs)\.org|\"resolved\":")
    for name in committed():
        if name == "tests/test_architecture.py":
            continue
        assert not private.search((ROOT / name).read_bytes()), name


MAKER = "shared/payments.py"
STANDIN = ("shared/sandbox/", "tests/unit/sandbox/")  # the other end of the line, and its conformance tests


def makers_of_sessions(source: str) -> list[int]:
    """Lines that create a Checkout session: by the SDK, old or new, or past it by Stripe's address."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("create", "create_async"):
            chain = ast.unparse(node.value)
            if re.search(r"\b(checkout\.)?(sessions|Session)$", chain) or "checkout" in chain:
                found.append(node.lineno)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "/checkout/sessions" in node.value
        ):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "await client.v1.checkout.sessions.create_async(params=p)",
        "stripe.checkout.Session.create(mode='payment')",
        "from stripe.checkout import Session\nSession.create()",
        "make = client.checkout.sessions.create",
        "client.raw_request('post', '/v1/checkout/sessions', mode='payment')",
        "httpx.post(f'{base}/v1/checkout/sessions')",
    ],
)
def test_a_session_made_elsewhere_would_be_seen(source: str) -> None:
    """The scanner of the next test knows all the ways (spec: F1)."""
    assert makers_of_sessions(source)


def test_one_maker_of_checkout_sessions() -> None:
    """Sessions made by hand without an order's id were paid and never found: only one place makes them (spec: F1)."""
    made = {
        name: makers_of_sessions((ROOT / name).read_text())
        for name in committed()
        if name.endswith(".py") and not name.startswith(STANDIN) and name != "tests/test_architecture.py"
    }
    assert {name: len(lines) for name, lines in made.items() if lines} == {MAKER: 1}


def test_one_caller_of_the_maker() -> None:
    """Only the attempts ask for a session, and they send a stored request (spec: F1, F4)."""
    callers = {
        str(path.relative_to(ROOT))
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "create_checkout_session"
    }
    assert callers == {"cart/attempts.py"}


STRIPE_MODULES = [
    path
    for path in CODE
    if not path.is_relative_to(ROOT / "shared/sandbox")
    and re.search(r"^(from|import) stripe\b", path.read_text(), re.M)
]


def crimes_against_stripes_types(source: str) -> list[str]:
    """Where code goes round the SDK's own types, as Python text (spec: E1, E2)."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stripe"):
            found += [node.module] if node.module not in ("stripe", "stripe.checkout") else []
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.startswith("stripe.")]
        elif isinstance(node, ast.Call):
            found += _crimes_of_a_call(node)
    return found


def _crimes_of_a_call(call: ast.Call) -> list[str]:
    name, text = ast.unparse(call.func), ast.unparse(call)
    if name in ("getattr", "hasattr", "cast", "setattr"):
        return [] if "'__qualname__'" in text else [text]  # Python's own name of a call, for the metrics
    if not name.endswith("_async") or name.endswith(".close_async"):
        return []
    if name == "super().request_async":
        return []  # the SDK's own way over the wire, counted (stripe_calls.py)
    crimes = [] if any(typed in f".{name}" for typed in (".client.v1.", ".lists.v1.")) else [text]
    if not {keyword.arg for keyword in call.keywords} <= {"params", "options"}:
        crimes.append(text)
    return crimes


@pytest.mark.parametrize(
    "source",
    [
        "getattr(session, 'customer', None)",
        "cast('object', session.payment_intent)",
        "import stripe.checkout",
        "from stripe._charge import Charge",
        "await self.client.checkout.sessions.retrieve_async('cs_1')",
        "await self.client.v1.charges.retrieve_async('ch_1', expand=['refunds'])",
    ],
)
def test_a_way_round_stripes_types_would_be_seen(source: str) -> None:
    """The scanner of the next test knows what it looks for (spec: E1, E2)."""
    assert crimes_against_stripes_types(source)


def test_every_module_that_knows_stripe_is_looked_at() -> None:
    """The calls, the connection and the narrowing: none can be left out by its name (spec: E1, E2)."""
    names = {str(path.relative_to(ROOT)) for path in STRIPE_MODULES}
    assert names >= {"shared/payments.py", "shared/payment_facts.py", "shared/stripe_client.py"}


@pytest.mark.parametrize("path", STRIPE_MODULES, ids=lambda path: path.name)
def test_stripe_is_called_as_its_own_types_say(path: Path) -> None:
    """client.v1, parameters in `params=`, ids by position, attributes read plainly, imports on top (spec: E1, E2)."""
    assert crimes_against_stripes_types(path.read_text()) == []
