# SPDX-License-Identifier: BSD-2-Clause
"""
A small ACME client (RFC 8555) for tls-alpn-01 (RFC 8737) which answers as acme.sh does: with a fresh `openssl s_server -alpn
acme-tls/1` for each name, one connection at a time, and nothing on the port in between.
"""
import base64
import hashlib
import json
import os
import ssl
import urllib.error
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from certs import challenge_certificate, new_key, signing_request
from services import need
from waiting import SCALE, wait_until


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class AcmeClient:
    def __init__(self, lab, directory_url, authority_file):
        self._lab = lab
        self._context = ssl.create_default_context(cafile=authority_file)
        self._key = new_key()
        self._account = None
        self._nonce = None
        self._directory = json.loads(self._request(directory_url)[1])
        headers, _ = self._post(self._directory["newAccount"], {"termsOfServiceAgreed": True})
        self._account = headers["Location"]

    # The protocol's envelope.

    def _request(self, url, body=None, method=None):
        request = urllib.request.Request(url, body, {"Content-Type": "application/jose+json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10 * SCALE, context=self._context) as response:
                self._nonce = response.headers.get("Replay-Nonce", self._nonce)
                return response.headers, response.read()
        except urllib.error.HTTPError as error:
            self._nonce = error.headers.get("Replay-Nonce", self._nonce)
            raise AssertionError(f"{url}: {error.code} {error.read().decode()}") from None

    def _jwk(self):
        numbers = self._key.public_key().public_numbers()
        return {"crv": "P-256", "kty": "EC", "x": b64(numbers.x.to_bytes(32, "big")),
                "y": b64(numbers.y.to_bytes(32, "big"))}

    def _thumbprint(self):
        # RFC 7638: the members in lexicographic order, no spaces.
        return b64(hashlib.sha256(json.dumps(self._jwk(), separators=(",", ":"), sort_keys=True).encode()).digest())

    def _post(self, url, payload):
        """POST as JWS; payload None is POST-as-GET."""
        if self._nonce is None:
            self._request(self._directory["newNonce"], method="HEAD")
        protected = {"alg": "ES256", "nonce": self._nonce, "url": url}
        protected.update({"kid": self._account} if self._account else {"jwk": self._jwk()})
        signing_input = b64(protected) + "." + ("" if payload is None else b64(payload))
        r, s = utils.decode_dss_signature(self._key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
        signature = b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        head, _, tail = signing_input.partition(".")
        self._nonce = None
        headers, body = self._request(url, json.dumps(
            {"protected": head, "payload": tail, "signature": signature}).encode())
        return headers, body

    def _get(self, url):
        return json.loads(self._post(url, None)[1])

    def _settled(self, url, what):
        """Poll an object until it is neither pending nor processing."""
        def poll():
            value = self._get(url)
            return value if value["status"] not in ("pending", "processing") else None

        return wait_until(poll, 15, what, poll=0.1)

    # Issuing.

    def issue(self, domain, responder_port):
        """Order, answer the challenge on 127.0.0.1 or ::1 responder_port, and return the certificate."""
        headers, body = self._post(self._directory["newOrder"], {"identifiers": [{"type": "dns", "value": domain}]})
        order_url, order = headers["Location"], json.loads(body)
        for url in order["authorizations"]:
            self._authorize(url, domain, responder_port)
        request, _ = signing_request(domain)
        self._post(order["finalize"], {"csr": b64(request)})
        order = self._settled(order_url, f"the order for {domain}")
        assert order["status"] == "valid", order
        return x509.load_pem_x509_certificate(self._post(order["certificate"], None)[1])

    def _authorize(self, url, domain, responder_port):
        challenge = next(c for c in self._get(url)["challenges"] if c["type"] == "tls-alpn-01")
        digest = hashlib.sha256(f"{challenge['token']}.{self._thumbprint()}".encode()).digest()
        certificate, key = challenge_certificate(self._lab.directory, domain, digest)
        # Its standard input stays open: s_server ends when it reads an end there.
        stdin_read, stdin_write = os.pipe()
        responder = self._lab.child(need("openssl"), "s_server", "-cert", certificate, "-key", key, "-alpn",
                                    "acme-tls/1", "-accept", str(responder_port), "-quiet", name="s_server",
                                    stdin=stdin_read)
        try:
            wait_until(lambda: listening(responder_port), 5, f"s_server on port {responder_port}")
            self._post(challenge["url"], {})
            authorization = self._settled(url, f"the authorization of {domain}")
            assert authorization["status"] == "valid", json.dumps(authorization, indent=1) + responder.text()
        finally:
            responder.stop()
            os.close(stdin_read)
            os.close(stdin_write)


def listening(port):
    """Whether something listens on the port; asked of the kernel, since a connection would block s_server."""
    for name in ("tcp", "tcp6"):
        with open(f"/proc/self/net/{name}") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    return True
    return False
