"""Metadata, discovery, tokens of every flow, and what a bad token meets."""

import base64
import hashlib
import json
from datetime import timedelta
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from poolwright.arm.managed_identity import ManagedIdentityApp
from poolwright.arm.settings import ArmSettings, RegisteredClient
from poolwright.arm.tokens import TokenKeys

from .world import BASE, TENANT, asgi_call, play, private_key, token_keys

TOKEN_PATHS = [
    "/adfs/oauth2/token",
    f"/adfs/{TENANT}/oauth2/v2.0/token",
    f"/{TENANT}/oauth2/v2.0/token",
    f"/{TENANT}/oauth2/token",
]
CLIENT = {
    "grant_type": "client_credentials",
    "client_id": "dev",
    "client_secret": "very-secret",
    "scope": f"{BASE}//.default",
}


def form(world, path, fields, **options):
    return world.call(
        "POST",
        path,
        raw=urlencode(fields).encode(),
        headers={"content-type": "application/x-www-form-urlencoded"},
        token=None,
        version=None,
        **options,
    )


def claims_of(token):
    return jwt.decode(
        token,
        private_key().public_key(),
        ["RS256"],
        options={
            "verify_aud": False,
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        },
    )


@pytest.mark.parametrize(
    ("version", "shape"), [("2022-09-01", dict), ("2019-05-01", list), ("2018-05-01", list)]
)
def test_metadata_has_two_shapes(version, shape):
    async def scenario(world):
        return await world.get("/metadata/endpoints", token=None, version=version)

    document = play(scenario).json
    assert isinstance(document, shape)
    cloud = document if shape is dict else document[0]
    assert cloud["authentication"]["loginEndpoint"] == f"{BASE}/adfs"
    assert cloud["authentication"]["audiences"][0] == f"{BASE}/"
    assert cloud["resourceManager"] == f"{BASE}/"
    assert cloud["name"] != "AzureCloud"
    assert cloud["microsoftGraphResourceId"]
    assert cloud["suffixes"]


@pytest.mark.parametrize(
    ("path", "token_endpoint"),
    [
        ("/adfs/.well-known/openid-configuration", "/adfs/oauth2/token"),
        (f"/{TENANT}/v2.0/.well-known/openid-configuration", f"/{TENANT}/oauth2/v2.0/token"),
    ],
)
def test_openid_configuration(path, token_endpoint):
    async def scenario(world):
        return await world.get(path, token=None, version=None)

    document = play(scenario).json
    assert document["token_endpoint"] == f"{BASE}{token_endpoint}"
    assert document["jwks_uri"] == f"{BASE}/common/discovery/keys"


@pytest.mark.parametrize("path", TOKEN_PATHS)
def test_client_credentials_give_a_token_that_arm_accepts(path):
    async def scenario(world):
        answer = await form(world, path, CLIENT)
        used = await world.get("/subscriptions", token=answer.json["access_token"])
        keys = await world.get("/common/discovery/keys", token=None, version=None)
        return answer, used, keys

    answer, used, keys = play(scenario)
    assert answer.status == 200
    assert used.status == 200
    token = answer.json["access_token"]
    claims = claims_of(token)
    assert claims["tid"] == TENANT
    assert claims["aud"] == f"{BASE}/"
    assert {"oid", "sub", "appid", "idtyp", "iss", "iat", "nbf", "exp", "ver"} <= claims.keys()
    assert jwt.get_unverified_header(token)["kid"] == keys.json["keys"][0]["kid"]
    assert 3500 < answer.json["expires_in"] < 3600


def test_public_arm_audience_is_an_alias_of_ours():
    async def scenario(world):
        fields = CLIENT | {"scope": "https://management.azure.com/.default"}
        token = (await form(world, TOKEN_PATHS[0], fields)).json["access_token"]
        return await world.get("/subscriptions", token=token)

    assert play(scenario).status == 200


def test_graph_token_is_no_arm_token():
    async def scenario(world):
        fields = CLIENT | {"scope": f"{BASE}/graph//.default"}
        token = (await form(world, TOKEN_PATHS[0], fields)).json["access_token"]
        return token, await world.get("/subscriptions", token=token)

    token, answer = play(scenario)
    assert claims_of(token)["aud"] == f"{BASE}/graph/"
    assert answer.status == 401


def test_v1_route_tells_expiry_and_resource():
    async def scenario(world):
        fields = {**CLIENT, "resource": f"{BASE}/"}
        return await form(world, TOKEN_PATHS[3], fields)

    answer = play(scenario).json
    assert answer["resource"] == f"{BASE}/"
    assert answer["expires_on"] > answer["not_before"]


def test_device_code_flow():
    async def scenario(world):
        device = await form(
            world, f"/{TENANT}/oauth2/v2.0/devicecode", {"client_id": "cli", "scope": "openid"}
        )
        answer = await form(
            world,
            TOKEN_PATHS[2],
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "client_id": "cli",
                "device_code": device.json["device_code"],
                "scope": f"{BASE}//.default offline_access openid profile",
            },
        )
        again = await form(
            world,
            TOKEN_PATHS[2],
            {
                "grant_type": "refresh_token",
                "client_id": "cli",
                "refresh_token": answer.json["refresh_token"],
                "scope": f"{BASE}//.default",
            },
        )
        forged = await form(
            world,
            TOKEN_PATHS[2],
            {"grant_type": "device_code", "client_id": "cli", "device_code": "guess"},
        )
        return (
            answer.json,
            again,
            forged,
            await world.get("/subscriptions", token=again.json["access_token"]),
        )

    answer, again, forged, used = play(scenario)
    identity = claims_of(answer["id_token"])
    assert identity["aud"] == "cli"
    assert identity["preferred_username"]
    info = json.loads(base64.urlsafe_b64decode(answer["client_info"] + "=="))
    assert info == {"uid": identity["oid"], "utid": TENANT}
    assert again.status == 200
    assert used.status == 200
    assert (forged.status, forged.json["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "client_credentials"}, 400, "invalid_request"),
        ({"grant_type": "client_credentials", "client_id": "x"}, 401, "invalid_client"),
        ({"grant_type": "magic", "client_id": "x"}, 400, "unsupported_grant_type"),
    ],
)
def test_bad_token_requests(fields, status, error):
    async def scenario(world):
        return await form(world, TOKEN_PATHS[0], fields)

    answer = play(scenario)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert answer.json["error_description"].startswith(f"AADSTS{answer.json['error_codes'][0]}: ")


SECURE = {
    "is_development": False,
    "is_loopback": False,
    "development_tokens": ("opaque-development-token",),
    "clients": (
        RegisteredClient(
            "app", hashlib.sha256(b"saltright-secret").hexdigest(), salt="salt", object_id="object"
        ),
    ),
}


def test_secure_mode_knows_its_clients_only():
    async def scenario(world):
        good = await form(
            world, TOKEN_PATHS[0], CLIENT | {"client_id": "app", "client_secret": "right-secret"}
        )
        used = await world.get("/subscriptions", token=good.json["access_token"])
        wrong = await form(
            world, TOKEN_PATHS[0], CLIENT | {"client_id": "app", "client_secret": "wrong-secret"}
        )
        unknown = await form(world, TOKEN_PATHS[0], CLIENT)
        opaque = await world.get("/subscriptions")
        device = await form(world, "/adfs/oauth2/devicecode", {"client_id": "app"})
        password = await form(
            world,
            TOKEN_PATHS[0],
            {"grant_type": "password", "client_id": "app", "username": "u", "password": "p"},
        )
        return good, used, wrong, unknown, opaque, device, password

    good, used, wrong, unknown, opaque, device, password = play(scenario, **SECURE)
    assert good.status == used.status == 200
    assert claims_of(good.json["access_token"])["oid"] == "object"
    assert (wrong.status, wrong.json["error"]) == (401, "invalid_client")
    assert b"wrong-secret" not in wrong.body
    assert unknown.status == 401
    assert opaque.status == 401
    assert device.status == 400
    assert password.status == 400


def test_a_token_is_for_the_name_it_was_asked_at_and_one_for_azures_name_for_all_of_ours():
    """So whoever asks each replica by its address (a Prometheus) needs one token."""

    async def scenario(world):
        statuses = []
        for scope in (f"{BASE}/.default", "https://management.azure.com/.default"):
            fields = CLIENT | {"client_id": "app", "client_secret": "right-secret", "scope": scope}
            token = (await form(world, TOKEN_PATHS[0], fields)).json["access_token"]
            for host in ("localhost:8443", "10.0.0.7:8443"):
                answer = await world.get("/subscriptions", token=token, headers={"host": host})
                statuses.append(answer.status)
        return statuses

    assert play(scenario, **SECURE) == [200, 401, 200, 200]


def test_secure_mode_has_one_tenant():
    async def scenario(world):
        fields = CLIENT | {"client_id": "app", "client_secret": "right-secret"}
        own = await form(world, TOKEN_PATHS[2], fields)
        other = await form(world, "/33333333-3333-3333-3333-333333333333/oauth2/v2.0/token", fields)
        return own, other

    own, other = play(scenario, **SECURE)
    assert own.status == 200
    assert (other.status, other.json["error_codes"]) == (400, [90002])


def test_secure_mode_wants_its_own_audience():
    async def scenario(world):
        fields = CLIENT | {
            "client_id": "app",
            "client_secret": "right-secret",
            "scope": "https://elsewhere.example/.default",
        }
        token = (await form(world, TOKEN_PATHS[0], fields)).json["access_token"]
        return await world.get("/subscriptions", token=token)

    assert play(scenario, **SECURE).status == 401


def test_development_mode_is_refused_beyond_loopback():
    with pytest.raises(ValueError, match="non-loopback"):
        ArmSettings(is_development=True, is_loopback=False)


def test_no_token_and_bad_tokens():
    stranger = TokenKeys((rsa.generate_private_key(public_exponent=65537, key_size=2048),))

    async def scenario(world):
        now = int(world.clock.now().wall.timestamp())
        good = {"aud": BASE, "tid": TENANT, "exp": now + 600, "nbf": now}
        tokens = {
            "garbage": "garbage",
            "stranger": stranger.sign(good),
            "expired": token_keys().sign(good | {"exp": now - 1}),
            "future": token_keys().sign(good | {"nbf": now + 3600}),
            "tenant": token_keys().sign(good | {"tid": "other"}),
            "purpose": token_keys().sign(good | {"aud": "refresh"}),
            "no expiry": token_keys().sign({"aud": BASE, "tid": TENANT}),
            "unsigned": jwt.encode(good, None, algorithm="none"),
            "text expiry": token_keys().sign(good | {"exp": "soon"}),
        }
        answers = {name: await world.get("/subscriptions", token=t) for name, t in tokens.items()}
        missing = await world.get("/subscriptions", token=None)
        basic = await world.get(
            "/subscriptions", token=None, headers={"authorization": "Basic eA=="}
        )
        return missing, basic, answers

    missing, basic, answers = play(scenario)
    assert (missing.status, missing.code) == (401, "AuthenticationFailed")
    assert 'error="invalid_token"' in missing.headers["www-authenticate"]
    assert basic.status == 401
    codes = {name: (answer.status, answer.code) for name, answer in answers.items()}
    assert codes.pop("expired") == (401, "ExpiredAuthenticationToken")
    assert set(codes.values()) == {(401, "InvalidAuthenticationToken")}
    challenge = answers["stranger"].headers["www-authenticate"]
    assert 'error="insufficient_claims"' in challenge
    claims = json.loads(base64.b64decode(challenge.partition('claims="')[2].rstrip('"')))
    assert claims["access_token"]["nbf"]["essential"] is True


def test_a_remembered_token_still_expires():
    async def scenario(world):
        token = (await form(world, TOKEN_PATHS[0], CLIENT)).json["access_token"]
        before = await world.get("/subscriptions", token=token)
        world.clock.advance(timedelta(hours=1, seconds=1))
        return before, await world.get("/subscriptions", token=token)

    before, after = play(scenario)
    assert before.status == 200
    assert (after.status, after.code) == (401, "ExpiredAuthenticationToken")


async def _msi(world, path, query, headers, method="GET"):
    app = ManagedIdentityApp(world.context, token_keys(), base_url=BASE)
    return await asgi_call(app, method, path, query, headers, [b""], scheme="http")


def test_managed_identity_in_both_styles():
    async def scenario(world):
        service = await _msi(world, "/msi/token", f"api-version=2019-08-01&resource={BASE}/", {})
        imds = await _msi(
            world,
            "/metadata/identity/oauth2/token",
            f"api-version=2018-02-01&resource={BASE}/&client_id=mine",
            {"metadata": "true"},
        )
        used = await world.get("/subscriptions", token=imds.json["access_token"])
        return service, imds, used

    service, imds, used = play(scenario)
    assert used.status == 200
    assert {"access_token", "expires_on", "resource", "token_type"} <= service.json.keys()
    assert service.json["expires_on"].isdigit()
    assert int(imds.json["expires_in"]) > 3000
    assert claims_of(imds.json["access_token"])["appid"] == "mine"


@pytest.mark.parametrize(
    ("path", "query", "headers", "settings", "status"),
    [
        ("/metadata/identity/oauth2/token", "resource=x", {}, {}, 400),
        ("/msi/token", "", {}, {}, 400),
        ("/other", "resource=x", {}, {}, 404),
        ("/msi/token", "resource=x", {}, {"identity_header": "s"}, 401),
        ("/msi/token", "resource=x", {"x-identity-header": "t"}, {"identity_header": "s"}, 401),
        ("/msi/token", "resource=x", {"x-identity-header": "s"}, {"identity_header": "s"}, 200),
        ("/msi/token", "resource=x", {}, {"is_development": False}, 401),
    ],
)
def test_managed_identity_refusals(path, query, headers, settings, status):
    async def scenario(world):
        return await _msi(world, path, query, headers)

    assert play(scenario, **settings).status == status
