"""The container's recipe and the DaemonSet: as far as can be told without a registry and a cluster."""
import re
import subprocess

import yaml

from conftest import BUILD, ROOT

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


# Of Kubernetes' API, apps/v1 and core/v1: fields by the name of what they are in, and of what kind; others do nothing, or are refused
FIELDS = {
    "Namespace": {"apiVersion": str, "kind": str, "metadata": "ObjectMeta"},
    "DaemonSet": {"apiVersion": str, "kind": str, "metadata": "ObjectMeta", "spec": "DaemonSetSpec"},
    "DaemonSetSpec": {"selector": "LabelSelector", "template": "PodTemplateSpec", "updateStrategy": dict, "minReadySeconds": int},
    "LabelSelector": {"matchLabels": dict},
    "PodTemplateSpec": {"metadata": "ObjectMeta", "spec": "PodSpec"},
    "ObjectMeta": {"name": str, "namespace": str, "labels": dict, "annotations": dict},
    "PodSpec": {"hostPID": bool, "automountServiceAccountToken": bool, "enableServiceLinks": bool, "nodeSelector": dict,
                "tolerations": ["Toleration"], "terminationGracePeriodSeconds": int, "containers": ["Container"], "volumes": ["Volume"],
                "priorityClassName": str, "serviceAccountName": str},
    "Toleration": {"operator": str, "key": str, "effect": str, "value": str},
    "Container": {"name": str, "image": str, "imagePullPolicy": str, "command": list, "args": list, "securityContext": "SecurityContext",
                  "resources": "ResourceRequirements", "volumeMounts": ["VolumeMount"], "env": list, "ports": list},
    "SecurityContext": {"privileged": bool, "allowPrivilegeEscalation": bool, "runAsUser": int, "readOnlyRootFilesystem": bool,
                        "capabilities": "Capabilities", "seccompProfile": "SeccompProfile"},
    "Capabilities": {"add": list, "drop": list},
    "SeccompProfile": {"type": str, "localhostProfile": str},
    "ResourceRequirements": {"requests": dict, "limits": dict},
    "VolumeMount": {"name": str, "mountPath": str, "readOnly": bool, "subPath": str},
    "Volume": {"name": str, "hostPath": "HostPathVolumeSource", "emptyDir": dict},
    "HostPathVolumeSource": {"path": str, "type": str},
}


def check_fields(kind, value, where):
    if isinstance(kind, list):
        assert isinstance(value, list), where
        for number, one in enumerate(value):
            check_fields(kind[0], one, f"{where}[{number}]")
    elif isinstance(kind, str):
        assert isinstance(value, dict), where
        for name, inner in value.items():
            assert name in FIELDS[kind], f"{where} has {name}, which {kind} has not"
            check_fields(FIELDS[kind][name], inner, f"{where}.{name}")
    else:
        assert isinstance(value, kind) and isinstance(value, bool) == (kind is bool), f"{where} is {value!r}"


def test_fields_are_those_of_the_api():
    """Debian has no checker of manifests; one that is misspelt would be dropped without a word, or refused."""
    for manifest, version in ((NAMESPACE, "v1"), (DAEMONSET, "apps/v1")):
        assert manifest["apiVersion"] == version
        check_fields(manifest["kind"], manifest, manifest["kind"])
    pulled, types = CONTAINER["imagePullPolicy"], [volume["hostPath"]["type"] for volume in POD["volumes"] if "hostPath" in volume]
    assert pulled in ("Always", "IfNotPresent", "Never") and set(types) == {"DirectoryOrCreate"}
    assert CONTAINER["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Unconfined", "Localhost")
    assert all(re.fullmatch(r"\d+(m|Mi|Gi)", amount) for amounts in CONTAINER["resources"].values() for amount in amounts.values())
    assert all(toleration.get("operator") in ("Exists", "Equal") for toleration in POD["tolerations"])


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


def test_what_it_may_cost_fits():
    """Profiles of the end go to a folder of the node; a dozen processes at their bound, and a gigabyte, fit in the limit."""
    given = dict(zip(CONTAINER["args"][1::2], CONTAINER["args"][2::2]))
    assert given["--record"] in [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]
    assert 12 * int(given["--max-memory"].removesuffix("M")) + 1024 <= 1024 * int(CONTAINER["resources"]["limits"]["memory"].removesuffix("Gi"))
    done = subprocess.run([BUILD / "dhatd", *CONTAINER["args"], "--help"], capture_output=True)
    assert done.returncode == 0  # it knows them all


def test_the_recipe_builds_what_make_deb_builds():
    """No list of libraries of its own: what is copied out of the first stage is what make deb leaves, by its name."""
    stages = re.split(r"^FROM ", RECIPE, flags=re.M)[1:]
    assert len(stages) == 2 and "make -C /src deb" in stages[0] and "COPY . /src" in stages[0]
    copied = re.search(r"COPY --from=build (.*) /packages/", stages[1])[1].split()
    packages = re.findall(r"^Package: (\S+)$", (PACKAGE / "debian/control").read_text(), re.M)
    assert copied == [f"/src/build/deb/{package}_*.deb" for package in packages]
    installed = re.findall(r"apt-get -q install -y --no-install-recommends (.*?)(?: &&|$)", RECIPE, re.M)
    assert installed == ["make", "/packages/*.deb"]
