"""spec/openapi.yaml: valid, the same as relay.md, and what a running relay does."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import relays
import schemathesis
import stage
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

SPEC = Path(__file__).resolve().parents[2] / "spec"
TEXT = (SPEC / "relay.md").read_text(encoding="utf-8")
DOCUMENT = yaml.safe_load((SPEC / "openapi.yaml").read_text(encoding="utf-8"))
METHODS = ("get", "head", "put", "post", "delete", "options", "patch", "trace")
R1 = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
}


def operations():
    return {
        (method.upper(), path): operation
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def find(node):
    """Follow a reference inside the document."""
    while "$ref" in node:
        target = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def responses():
    for name, operation in operations().items():
        for status, response in operation["responses"].items():
            yield name, int(status), find(response)


def problem_types(response):
    """The types that a response lists, and the status that it says they have."""
    content = response.get("content", {}).get("application/problem+json")
    if content is None:
        return [], None
    members = content["schema"]["allOf"][1]["properties"]
    return members["type"]["enum"], members["status"]["const"]


# The document


def test_the_document_is_openapi():
    from openapi_spec_validator import validate  # seconds, which collecting would cost each worker

    validate(DOCUMENT)


def test_it_has_the_routes_of_the_text_and_no_others():
    told = set(re.findall(r"(?m)^### `([A-Z]+) (/v1[^?`]*)", TEXT))
    paths = {path for _, path in told}

    assert {name for name in operations() if name[0] not in ("HEAD", "OPTIONS")} == told
    assert {path for method, path in operations() if method == "OPTIONS"} == paths
    assert {method for method, path in operations() if path == "/v1/t/{id}"} == {
        "GET", "HEAD", "OPTIONS", "PUT"
    }  # fmt: skip


def test_it_has_the_problem_types_of_the_text_with_their_status():
    told = dict(re.findall(r"(?m)^\| `([a-z-]+)` \| ([0-9]{3}) \|", TEXT))
    listed = {}
    for response in DOCUMENT["components"]["responses"].values():
        types, status = problem_types(response)
        listed |= {name.removeprefix("urn:e2ee-ticket:"): str(status) for name in types}
    known = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]

    assert listed == told
    assert known == ["urn:e2ee-ticket:" + name for name in told]


def test_every_route_has_the_refusals_that_the_text_names_there():
    """Types and statuses of the numbered checks; what every route may answer is added."""
    sections = re.split(r"(?m)^### ", TEXT)[1:]
    statuses = {name: int(status) for name, status in _table().items()}
    for section in sections:
        method, path = re.match(r"`([A-Z]+) (/v1[^?`]*)", section).groups()
        checks = "\n".join(re.findall(r"(?m)^[0-9]+\. .*$|^- `\[R.*$", section.split("\n## ")[0]))
        types = {name for name in re.findall(r"`([a-z-]+)`", checks) if name in statuses}
        named = {int(number) for number in re.findall(r"\b([1-5][0-9]{2})\b", checks)} & {
            200, 201, 204, 304, 400, 401, 403, 404, 409, 410, 411, 413, 429, 507
        }  # fmt: skip
        operation = operations()[method, path]
        listed = {int(status) for status in operation["responses"]}
        listed_types = {
            name.removeprefix("urn:e2ee-ticket:")
            for response in operation["responses"].values()
            for name in problem_types(find(response))[0]
        }

        # A display's other answers are told at the routes of those who cause them.
        assert named <= listed | {410}, (method, path)
        assert types <= listed_types | {"channel-gone"}, (method, path)
        assert listed - named - everywhere() <= {404, 410, 507}, (method, path)
        assert {500, 503} <= listed


def everywhere():
    """The statuses that the text gives to every route."""
    (line,) = re.findall(r"(?m)^Every route may also answer (.*); they are not named", TEXT)
    return {int(number) for number in re.findall(r"\b([45][0-9]{2})\b", line)}


def test_it_says_no_more_of_headers_than_the_text():
    """Each header of an answer is named in relay.md, and asked for only where the text does."""
    headers = DOCUMENT["components"]["headers"]
    standard = {"Content-Length", "WWW-Authenticate", "Allow", "ETag"}

    assert {name for name in headers if f"`{name}" not in TEXT} <= standard
    assert not headers["Access-Control-Max-Age"].get("required")
    assert "MAY carry `Access-Control-Max-Age`" in TEXT
    assert headers["Retry-After"]["schema"] == {"type": "integer", "minimum": 1}
    assert "`Retry-After` MUST be a number of seconds, 1 or more, in digits" in TEXT


def _table():
    return dict(re.findall(r"(?m)^\| `([a-z-]+)` \| ([0-9]{3}) \|", TEXT))


def test_it_has_the_limits_of_the_text():
    components = DOCUMENT["components"]
    parameters, schemas = components["parameters"], components["schemas"]
    ttl = parameters["TicketTtl"]["schema"]
    waits = [parameters[name]["schema"] for name in ("WaitState", "WaitHello")]
    sizes = schemas["Envelope"]["x-lengths"]
    info = {name: schema.get("const") for name, schema in schemas["Info"]["properties"].items()}

    assert f"optional, {ttl['minimum']} to {ttl['maximum']}, default {ttl['default']} " in TEXT
    assert "(an integer from 0 to 25; default 25 for tills and 0 for states;" in TEXT
    assert [(wait["minimum"], wait["maximum"], wait["default"]) for wait in waits] == [
        (0, 25, 0), (0, 25, 25)
    ]  # fmt: skip
    assert sizes == _envelope_sizes()
    assert sizes == components["headers"]["Content-Length"]["schema"]["enum"]
    assert "longer than 4 MiB: 413" in TEXT
    assert sizes[-1] == 4 * 1024 * 1024 == info["max_envelope"]
    assert f'"max_envelope": {info["max_envelope"]}' in TEXT
    assert f'"ttl_default": {info["ttl_default"]}, "ttl_max": {info["ttl_max"]}' in TEXT
    assert [size - 32 for size in schemas["StateChange"]["x-lengths"]] == [
        len(word) for word in ("opened", "revoked", "received")
    ]
    for name in ("StateChange", "Registration", "Offer"):
        assert f"longer than {schemas[name]['x-max-length']} bytes: 413" in TEXT
    assert f"the sealed, {schemas['Sealed']['x-max-length']} bytes" in TEXT
    assert schemas["Hellos"]["x-lengths"] == [80 * count for count in range(5)]
    assert "At most 4 hellos are live" in TEXT
    for name in ("Id", "Cid", "Hid"):
        assert parameters[name]["schema"]["pattern"] == "^[0-9a-f]{32}$"
    states = schemas["TicketState"]["properties"]["state"]["enum"]
    assert parameters["Since"]["schema"]["enum"] == states
    assert "`since` is one of " + ", ".join(f"`{state}`" for state in states) in TEXT


def _envelope_sizes():
    """The 17 lengths as ticket.md writes them."""
    text = (SPEC / "ticket.md").read_text(encoding="utf-8")
    kib, mib = re.search(r"one of 17 lengths: (.*) KiB, and (.*) MiB\.", text).groups()
    units = [(kib, 1024), (mib, 1024 * 1024)]
    return [
        int(float(number) * unit)
        for numbers, unit in units
        for number in re.findall(r"[0-9.]+", numbers)
    ]


def test_every_response_names_the_headers_of_every_answer():
    for name, status, response in responses():
        assert set(R1) <= set(response["headers"]), (name, status)
        for header, text in R1.items():
            described = find(response["headers"][header])
            assert described["required"]
            assert described["schema"] == {"const": text}


def test_every_example_is_of_its_schema():
    import jsonschema_rs

    for name, status, response in responses():
        for media in response.get("content", {}).values():
            for example in media.get("examples", {}).values():
                schema = media["schema"] | {"components": DOCUMENT["components"]}
                validator = jsonschema_rs.Draft202012Validator(schema)

                assert validator.is_valid(example["value"]), (name, status, example)


# The relay


def bodies():
    """What a route takes, nearly takes, and does not take."""
    token = relays.TOKEN
    return st.one_of(
        st.binary(max_size=200),
        st.sampled_from(
            [
                relays.make_envelope(),
                bytes(16 * 1024),
                bytes(16 * 1024 + 1),
                token + b"opened",
                token + b"received",
                token + b"forgotten",
                relays.make_registration(),
                b"dsp/v1\r\n" + bytes(64),
                b"x" * 32 + relays.make_hello(),
                bytes(512),
                bytes(513),
            ]
        ),
    )


schemathesis.openapi.media_type("application/octet-stream", bodies())


def make_schema():
    """The document, but nobody waits for longer than a second."""
    document = yaml.safe_load((SPEC / "openapi.yaml").read_text(encoding="utf-8"))
    for name in ("WaitState", "WaitHello"):
        document["components"]["parameters"][name]["schema"] = {"type": "integer", "enum": [0, 1]}
        document["components"]["parameters"][name].pop("example")
    return schemathesis.openapi.from_dict(document)


schema = make_schema()
fuzzed = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=["open", "closed"])
def running(request, tmp_path_factory):
    arguments = ["--open"] if request.param == "open" else []
    relay = stage.Relay(tmp_path_factory.mktemp(request.param), *arguments, pages=False)
    relay.leave = relay.permit()
    relay.start()
    yield relay
    relay.stop()


def looks_as_every_answer(_context, response, _case):
    """R1, and R2: what the document cannot say of answers that it does not list."""
    for header, text in R1.items():
        assert response.headers.get(header.lower()) == [text], header
    if response.status_code >= 400 and response.request.method != "HEAD":
        told = response.json()
        assert response.headers["content-type"] == ["application/problem+json"]
        assert told["status"] == response.status_code
        assert told["type"].removeprefix("urn:e2ee-ticket:") in _table()


def ask(case, running, *more):
    case.call_and_validate(
        base_url=running.origin,
        additional_checks=[looks_as_every_answer],
        # A body's bytes have rules that a schema cannot say: what it calls valid may be refused.
        excluded_checks=[positive_data_acceptance, *more],
    )


@schema.parametrize()
@fuzzed
def test_a_stranger_gets_answers_of_the_document(case, running):
    ask(case, running)


@pytest.fixture
def acquainted(request, running):
    """The relay with a ticket and a channel of this test's own."""
    running.name = hashlib.sha256(request.node.name.encode()).hexdigest()[:32]
    permit = f"Bearer {running.leave}"
    envelope, registration = relays.make_envelope(), relays.make_registration()
    running.request("PUT", f"/v1/t/{running.name}", envelope, Authorization=permit)
    running.request("PUT", f"/v1/c/{running.name}", registration, Authorization=permit)
    return running


def authorization(operation, running):
    """What opens this operation to somebody who may."""
    schemes = {name for scheme in operation.definition.raw.get("security", []) for name in scheme}
    tokens = {
        "permit": running.leave,
        "ticketToken": relays.TOKEN.hex(),
        "channelToken": relays.WRITE_TOKEN.hex(),
    }
    return {"Authorization": f"Bearer {tokens[schemes.pop()]}"} if schemes else {}


@schema.parametrize()
@fuzzed
def test_an_acquaintance_gets_answers_of_the_document(case, acquainted):
    for name, text in case.path_parameters.items():
        if re.fullmatch("[0-9a-f]{32}", str(text)):
            case.path_parameters[name] = acquainted.name
    for name, text in authorization(case.operation, acquainted).items():
        case.headers.setdefault(name, text)

    # The token is ours and valid, whatever the fuzzer believes of one that it did not make.
    ask(case, acquainted, ignored_auth)


def test_a_handshake_gets_answers_of_the_document(acquainted):
    """What takes two callers at once, and so is never found by one who asks at random."""
    hello = relays.make_hello()
    channel = {"cid": acquainted.name}
    named = channel | {"hid": relays.hid(hello)}

    def call(method, path, **request):
        operation = schema[path][method]
        headers = authorization(operation, acquainted) | request.pop("headers", {})
        if "body" in request:
            request["media_type"] = "application/octet-stream"
        case = operation.Case(headers=headers, **request)
        answer = case.call(base_url=acquainted.origin, timeout=30)
        case.validate_response(answer, additional_checks=[looks_as_every_answer],
                               excluded_checks=[ignored_auth])  # fmt: skip
        return answer

    def say_hello():
        offer = relays.READ_TOKEN + hello
        return call("POST", "/v1/c/{cid}/hello", path_parameters=channel, body=offer)

    def poll(**headers):
        return call("GET", "/v1/c/{cid}/hello", path_parameters=channel, query={"wait": 0},
                    headers=headers)  # fmt: skip

    def answer():
        path = "/v1/c/{cid}/hello/{hid}"
        return call("PUT", path, path_parameters=named, body=b"s" * 512)

    with ThreadPoolExecutor() as display:
        said = display.submit(say_hello)
        stage.wait_for(lambda: poll().content == hello, "the hello's arrival")
        held = poll().headers["etag"][0]
        answers = [poll(**{"If-None-Match": held}), answer(), answer(), said.result(), say_hello()]

    assert [each.status_code for each in answers] == [304, 204, 409, 200, 204]
