# SPDX-License-Identifier: BSD-2-Clause
"""A certificate authority made for the run, server certificates from it, and the one of tls-alpn-01 (RFC 8737)."""
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_DAY = datetime.timedelta(days=1)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def pem(obj):
    if hasattr(obj, "private_bytes"):
        return obj.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption())
    return obj.public_bytes(serialization.Encoding.PEM)


def write(path, *objects):
    with open(path, "wb") as file:
        for obj in objects:
            file.write(obj if isinstance(obj, bytes) else pem(obj))
    return str(path)


def _name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject, issuer, public_key):
    today = datetime.datetime.utcnow()
    return (x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(public_key)
            .serial_number(x509.random_serial_number()).not_valid_before(today - _DAY).not_valid_after(today + 2 * _DAY))


def _alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """Writes ca.pem and, by server(), NAME.pem (certificate) and NAME.key into directory."""

    def __init__(self, directory):
        self.directory = str(directory)
        self._key = new_key()
        self._certificate = (
            _builder("e2e test CA", "e2e test CA", self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256()))
        self.file = write(os.path.join(self.directory, "ca.pem"), self._certificate)

    def server(self, *names):
        """(certificate file, key file) of a server with these names and addresses."""
        key = new_key()
        certificate = (
            _builder(names[0], "e2e test CA", key.public_key())
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256()))
        base = os.path.join(self.directory, names[0])
        # One file with both, as HAProxy wants it, beside the two that the others want.
        write(base + ".both", certificate, key)
        return write(base + ".pem", certificate), write(base + ".key", key)


def challenge_certificate(directory, domain, key_authorization_digest):
    """The self-signed certificate a tls-alpn-01 responder shows: (certificate file, key file)."""
    key = new_key()
    octets = b"\x04\x20" + key_authorization_digest  # OCTET STRING of 32 bytes
    certificate = (
        _builder(domain, domain, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, octets), critical=True)
        .sign(key, hashes.SHA256()))
    base = os.path.join(str(directory), "challenge-" + domain)
    return write(base + ".pem", certificate), write(base + ".key", key)


def signing_request(*domains):
    """(DER of the request, key)."""
    key = new_key()
    request = (x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
               .add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in domains]), critical=False)
               .sign(key, hashes.SHA256()))
    return request.public_bytes(serialization.Encoding.DER), key
