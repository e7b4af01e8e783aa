"""The container's recipe and the DaemonSet: as far as can be told without a registry and a cluster."""
import re

import yaml

from conftest import ROOT

PACKAGE = ROOT / "daemon/package"
RECIPE = (PACKAGE / "Containerfile").read_text()
NAMESPACE, DAEMONSET = yaml.safe_load_all((PACKAGE / "daemonset.yaml").read_text())
POD = DAEMONSET["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_rights_are_those_of_the_unit():
    """They were measured there."""
    unit = (ROOT / "daemon/share/systemd/dhatd.service").read_text()
    rights = set(re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].replace("CAP_", "").split())
    assert set(CONTAINER["securityContext"]["capabilities"]["add"]) == rights
    assert CONTAINER["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert set(re.search(r"--cap-add=(\S+)", RECIPE)[1].split(",")) == rights


def test_what_is_named_is_there():
    assert DAEMONSET["metadata"]["namespace"] == NAMESPACE["metadata"]["name"]
    labels = DAEMONSET["spec"]["template"]["metadata"]["labels"]
    assert DAEMONSET["spec"]["selector"]["matchLabels"].items() <= labels.items()
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert set(volumes) == set(mounts)
    for name, volume in volumes.items():  # dhatctl on the node finds the same at the same place
        assert "hostPath" not in volume or volume["hostPath"]["path"] == mounts[name]
    socket = re.search(r"^ENV DHATD_SOCKET=(\S+)$", RECIPE, re.M)[1]
    assert socket.rsplit("/", 1)[0] in mounts.values()
    tables = re.search(r'TABLES_CACHE_PATH "([^"]+)"', (ROOT / "daemon/lookup/tables.h").read_text())[1]
    assert tables in mounts.values()
    assert re.search(r'^ENTRYPOINT \["dhatd"\]$', RECIPE, re.M) and CONTAINER["args"][0] in ("serve", "attach")


def test_the_recipe_builds_what_make_deb_builds():
    """No list of libraries of its own: what is copied out of the first stage is what make deb leaves, by its name."""
    stages = re.split(r"^FROM ", RECIPE, flags=re.M)[1:]
    assert len(stages) == 2 and "make -C /src deb" in stages[0] and "COPY . /src" in stages[0]
    copied = re.search(r"COPY --from=build (.*) /packages/", stages[1])[1].split()
    packages = re.findall(r"^Package: (\S+)$", (PACKAGE / "debian/control").read_text(), re.M)
    assert copied == [f"/src/build/deb/{package}_*.deb" for package in packages]
    installed = re.findall(r"apt-get -q install -y --no-install-recommends (.*?)(?: &&|$)", RECIPE, re.M)
    assert installed == ["make", "/packages/*.deb"]
