"""Packages of Debian, other releases' too: fetched by apt, which checks their signatures, from the mirror that
this machine's apt uses. Nothing is installed, and apt's own lists stay as they are."""
import re
import subprocess


def mirror():
    """The mirror of Debian that this machine's apt uses."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"], check=True,
                            capture_output=True, text=True).stdout.split("\n")
    return next(uri for uri, _, release in (line.partition(" ") for line in listed)
                if release and not re.search("updates|security|backports", release))


def apt_root(directory, suite):
    """Options for an apt of its own in a new directory, its lists fetched."""
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (directory / folder).mkdir(parents=True)
    (directory / "etc/suite.sources").write_text(
        f"Types: deb\nURIs: {mirror()}\nSuites: {suite}\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n")
    options = [f"-o{key}={value}" for key, value in {
        "Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": directory / "etc",
        "Dir::State::lists": directory / "lists", "Dir::Cache": directory / "cache",
        "Dir::State::status": "/dev/null", "APT::Sandbox::User": "root", "Acquire::Languages": "none",
        "Acquire::Retries": 3}.items()]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True, stderr=subprocess.DEVNULL)
    return options


def download(options, package, place):
    """Into a new directory, and unpacked below its x: the package's version; None if there is none."""
    place.mkdir()
    got = subprocess.run(["apt-get", "-qq", *options, "download", package], cwd=place, capture_output=True)
    debs = list(place.glob("*.deb"))
    if got.returncode or not debs:
        return None
    subprocess.run(["dpkg", "-x", debs[0], place / "x"], check=True)
    return debs[0].name.split("_")[1].replace("%3a", ":")
