# SPDX-License-Identifier: BSD-2-Clause
"""
tools/container/: an image with nothing but the static binary, run as an engine would run it (engine.py): PID 1, a user that
is not root, file capabilities, an exact bounding set, a read-only root. And what the manifests say, with a parser.
"""
import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

import engine
from children import wait_port
from hellos import acme_hello, https_hello
from router import ROOT, Router
from services import need, write_text
from sockets import free_port
from static_build import make, root_with_nothing_but_it
from test_command import children
from visitors import NAME, ask, client_context
from waiting import SCALE, wait_until

CONTAINER = os.path.join(ROOT, "tools", "container")
FOUR = {"BPF", "NET_ADMIN", "PERFMON", "NET_BIND_SERVICE"}
FIVE = FOUR | {"NET_RAW"}  # on a machine, to take connections over
USER = 65532


def text_of(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def documents(name):
    return list(yaml.safe_load_all(text_of("tools/container", name)))


COMPOSE, = documents("compose.yaml")
CONFIG_MAP, DEPLOYMENT, SERVICE = documents("kubernetes.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
SIDECAR, = POD["initContainers"]


class Container(Router):
    """The image, with the arguments of a manifest or of a test."""

    def __init__(self, lab, *arguments, capabilities=FOUR, **settings):
        self.root = lab.directory / "image"
        if not self.root.exists():
            root_with_nothing_but_it(self.root)
            mode, group = re.search(r"install -D -m (\d+) -g (\d+) \S+ /image/alpnbpf ", text_of("tools/container/Containerfile")).groups()
            os.chown(self.root / "alpnbpf", 0, int(group))
            os.chmod(self.root / "alpnbpf", int(mode, 8))
            command = re.search(r"setcap (\S+) /image/alpnbpf", text_of("tools/container/Containerfile"))
            subprocess.run([need("setcap"), command.group(1), self.root / "alpnbpf"], check=True)
        self.settings = {"root": str(self.root), "user": USER, "capabilities": sorted(capabilities), **settings}
        super().__init__(None, None, wait=False, command_line=self.command("run", *arguments))
        lab.routers.append(self)

    def command(self, action, *arguments, **more):
        return [sys.executable, engine.__file__, action, json.dumps({**self.settings, **more}), "/alpnbpf", *arguments]

    @property
    def init(self):
        """PID 1, by its number outside."""
        return children(self.pid)[0]

    def probe(self, *arguments):
        return subprocess.run(self.command("exec", *arguments, pid=self.init), capture_output=True, text=True,
                              timeout=15 * SCALE)

    def terminate(self):
        os.kill(self.init, signal.SIGTERM)

    def abandon(self):
        # By its PID: execve() of a file with capabilities clears the parent-death signal.
        if self.running() and children(self.pid):
            os.kill(self.init, signal.SIGKILL)
        super().abandon()


def capabilities(pid):
    with open(f"/proc/{pid}/status") as file:
        masks = dict(re.findall(r"^Cap(\w+):\s*(\S+)", file.read(), re.MULTILINE))
    return {name: {number for number in range(64) if int(mask, 16) >> number & 1} for name, mask in masks.items()}


def test_a_session_each_way(lab):
    """With --dataplane sockmap it starts only with all four capabilities; it has no others."""
    # Below the ephemeral range: in two of four whole runs a connection to one there never came to the listener.
    acme, https = lab.listener(port=free_port()), lab.listener(port=free_port())
    container = Container(lab, "attach", "--acme", acme.endpoint, "--https", https.endpoint, "--listen", "127.0.0.1:443",
                          "--dataplane", "sockmap", "--log-level", "debug")
    container.wait_ready()
    four = {engine.CAPABILITIES[name] for name in FOUR}
    for kind, held in capabilities(container.init).items():
        assert held <= four, kind
    with open(f"/proc/{container.init}/status") as file:
        status = file.read()
    assert re.search(rf"^Uid:\t{USER}\t{USER}\t{USER}\t{USER}$", status, re.MULTILINE)
    assert re.search(rf"^NSpid:\t{container.init}\t1$", status, re.MULTILINE)
    assert os.listdir(f"/proc/{container.init}/root") and not os.path.exists(f"/proc/{container.init}/root/bin")
    for hello, backend in ((https_hello(), https), (acme_hello(), acme)):
        client = lab.connect(("127.0.0.1", 443))
        client.send(hello)
        server = backend.accept()
        assert server.read(len(hello)) == hello
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"
        client.close()
    beside = container.probe("version")
    assert beside.returncode == 0 and beside.stdout.startswith("alpnbpf "), beside


def test_without_a_capability(lab):
    """The kernel refuses to start a file with capabilities that it cannot get, as the Containerfile says."""
    container = Container(lab, "version", capabilities=FOUR - {"BPF"})
    container.expected_exit = 126
    assert container.wait() == 126 and "Operation not permitted" in container.text()
    assert "operation not permitted" in text_of("tools/container/Containerfile")


def test_no_new_privileges(lab):
    """The reason for allowPrivilegeEscalation: true in kubernetes.yaml. Without it, it still serves, in user space."""
    acme, https = lab.backends()
    ports = ("--acme", acme.endpoint, "--https", https.endpoint, "--listen", "127.0.0.1:20443")
    container = Container(lab, "attach", *ports, "--dataplane", "sockmap", no_new_privs=True)
    container.expected_exit = 1
    assert container.wait() == 1 and "missing CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON" in container.text()
    container = Container(lab, "attach", *ports, no_new_privs=True)
    container.wait_ready()
    assert "moving the bytes in user space" in container.text()


NGINX = """
daemon off; worker_processes 1; user root; pid {dir}/nginx.pid; error_log stderr error;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    {site}
}}
"""


@pytest.fixture
def pod(lab, authority):
    """The sidecar as kubernetes.yaml has it, and the nginx of its ConfigMap, on one network."""
    container = Container(lab, *SIDECAR["args"], capabilities=SIDECAR["securityContext"]["capabilities"]["add"])
    container.wait_ready()
    certificate, key = authority.server(NAME)
    site = CONFIG_MAP["data"]["default.conf"].replace("/etc/nginx/tls/tls.crt", certificate).replace(
        "/etc/nginx/tls/tls.key", key).replace("root /usr/share/nginx/html;", r'return 200 "$remote_addr\n";')
    assert site.count(certificate) == 1 and "return 200" in site
    nginx = lab.child(need("nginx"), "-p", str(lab.directory), "-c",
                      write_text(lab.directory / "nginx.conf", NGINX.format(dir=lab.directory, site=site)))
    wait_port(("127.0.0.1", 8443), nginx)
    return container


def test_the_pod(pod, authority, veth):
    """nginx sees the client's address; it started after the sidecar."""
    context = client_context(authority.file)
    local, body = ask((veth.server4, 443), context, "/", veth.namespace)
    assert body == local[0] == veth.client4


def test_compose_has_the_same(lab):
    site = CONFIG_MAP["data"]["default.conf"]
    assert "".join(line for line in text_of("tools/container/nginx.conf").splitlines(True) if not line.startswith("#")) == site
    alpnbpf, web = COMPOSE["services"]["alpnbpf"], COMPOSE["services"]["web"]
    assert alpnbpf["command"] == SIDECAR["args"] and web["network_mode"] == "service:alpnbpf"
    assert os.path.samefile(os.path.join(CONTAINER, alpnbpf["build"]["context"]), ROOT)
    assert os.path.exists(os.path.join(ROOT, alpnbpf["build"]["dockerfile"]))


def test_capabilities_are_the_same_everywhere():
    """Exactly four in the manifests and the image, which take over no connections; five in the manual and the unit."""
    security, compose = SIDECAR["securityContext"], COMPOSE["services"]["alpnbpf"]
    assert security["capabilities"]["drop"] == compose["cap_drop"] == ["ALL"]
    assert set(security["capabilities"]["add"]) == set(compose["cap_add"]) == FOUR
    for place, of_file in (("tools/container/Containerfile", FOUR), ("docs/OPERATIONS.md", FIVE)):
        lines = re.findall(r"setcap (cap_\S+?)\+?=?ep ", text_of(place))
        assert lines, place
        for line in lines:
            assert {name.removeprefix("cap_").upper() for name in line.rstrip("+=").split(",")} == of_file, place
    for place in ("tools/container/Containerfile", "README.md", "docs/containers.md"):
        commands = re.findall(r"--cap-drop ALL((?: --cap-add \w+)+)", text_of(place))
        assert commands, place
        for command in commands:
            assert set(re.findall(r"--cap-add (\w+)", command)) == FOUR, place
    unit = os.path.join("tools", "systemd", "alpnbpf.service.in")
    if os.path.exists(os.path.join(ROOT, unit)):
        for key in ("CapabilityBoundingSet", "AmbientCapabilities"):
            line = re.search(rf"^{key}=(.*)$", text_of(unit), re.MULTILINE).group(1)
            assert {name.removeprefix("CAP_") for name in line.split()} == FIVE, key


def test_the_manifest_is_a_sidecar_with_exactly_its_rights():
    security = SIDECAR["securityContext"]
    assert SIDECAR["restartPolicy"] == "Always" and security["runAsNonRoot"] and security["runAsUser"] == USER
    # File capabilities need it: test_no_new_privileges.
    assert security["allowPrivilegeEscalation"] is True and security["readOnlyRootFilesystem"] is True
    assert security.get("privileged", False) is False and not POD.get("hostNetwork")
    mount, = SIDECAR["volumeMounts"]
    assert mount["mountPath"] == "/run/alpnbpf"
    assert "emptyDir" in next(volume for volume in POD["volumes"] if volume["name"] == mount["name"])
    assert POD["securityContext"]["fsGroup"] == USER
    containerfile = text_of("tools/container/Containerfile")
    assert f"\nUSER {USER}:{USER}\n" in containerfile and '\nENTRYPOINT ["/alpnbpf"]\n' in containerfile
    assert COMPOSE["services"]["alpnbpf"]["user"] == f"{USER}:{USER}" and COMPOSE["services"]["alpnbpf"]["read_only"] is True
    # Ended after the sessions have.
    assert POD["terminationGracePeriodSeconds"] > 30 and COMPOSE["services"]["alpnbpf"]["stop_grace_period"] == "45s"
    port, = SERVICE["spec"]["ports"]
    assert port["port"] == 443 and port["targetPort"] in [p["name"] for p in SIDECAR["ports"]]


def test_files_of_the_containerfile_exist():
    """What it copies is there, and is all that `make static` needs."""
    sources = [word for line in re.findall(r"^COPY (?!--)(.*)$", text_of("tools/container/Containerfile"), re.MULTILINE)
               for word in line.split()[:-1]]
    assert len(sources) >= 6 and all(os.path.exists(os.path.join(ROOT, source)) for source in sources)


def test_build_from_what_the_containerfile_copies(tmp_path):
    """`make -n` names no file that would not be in the build stage."""
    for line in re.findall(r"^COPY (?!--)(.*)$", text_of("tools/container/Containerfile"), re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            target = tmp_path / source
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", os.path.join(ROOT, source), target], check=True)
    assert "build-static/alpnbpf" in make("-n", "static", directory=tmp_path)


def test_the_probes(pod):
    """What the kubelet and compose run: 0 once it is ready, 1 when nothing runs there."""
    probe = SIDECAR["startupProbe"]["exec"]["command"]
    assert probe == COMPOSE["services"]["alpnbpf"]["healthcheck"]["test"][1:] == ["/alpnbpf", "status", "--ready"]
    help_ = subprocess.run([pod.root / "alpnbpf", "status", "--help"], capture_output=True, text=True)
    assert help_.returncode == 0 and "  --ready" in help_.stdout
    wait_until(lambda: pod.probe(*probe[1:]).returncode == 0, 10, "a probe that says ready")
    alone = subprocess.run([pod.root / "alpnbpf", "status", "--ready"], capture_output=True, text=True)
    assert alone.returncode == 1, alone
