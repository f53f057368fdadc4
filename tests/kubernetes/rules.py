"""What no schema knows of the manifests: that pods can do nothing they need not, and that every name leads somewhere."""

import sys

import yaml

SERVICES = ("client", "api", "db")


def pods(objects):
    for it in objects:
        if it["kind"] in ("StatefulSet", "Deployment", "Job"):
            yield f"{it['kind']} {it['metadata']['name']}", it["spec"], it["spec"]["template"]


def restricted(name, template):
    """The profile `restricted` of the pod security standards, and a little more."""
    pod = template["spec"]
    security = pod.get("securityContext", {})
    if pod.get("automountServiceAccountToken") is not False:
        yield f"{name}: its pod gets a token of the cluster"
    if security.get("runAsNonRoot") is not True or security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{name}: it may be root, or call what it likes"
    if any(pod.get(host) for host in ("hostNetwork", "hostPID", "hostIPC")):
        yield f"{name}: it shares the host"
    if any("hostPath" in volume for volume in pod.get("volumes", [])):
        yield f"{name}: it sees files of the host"
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: it may become more, or change its files"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name}: it has capabilities"
        if "memory" not in container.get("resources", {}).get("limits", {}):
            yield f"{name}: it may take all memory"
        tag = container["image"].rpartition(":")[2]
        if tag in ("latest", container["image"]):
            yield f"{name}: {container['image']} may be another one tomorrow"


def leads_somewhere(objects):
    """Selectors, references and addresses."""
    named = {(it["kind"], it["metadata"]["name"]) for it in objects}
    labels = [template["metadata"]["labels"] for _, _, template in pods(objects)]
    # A pod of a StatefulSet has its number as a label, given by the cluster.
    meets = lambda wanted: any(
        all(one.get(key) == value for key, value in wanted.items() if key != "apps.kubernetes.io/pod-index") for one in labels
    )
    for it in objects:
        if it["kind"] == "Service" and not meets(it["spec"]["selector"]):
            yield f"Service {it['metadata']['name']} leads to no pod"
        if it["kind"] == "HorizontalPodAutoscaler":
            target = it["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) not in named:
                yield f"there is no {target['name']} to scale"
    for name, spec, template in pods(objects):
        wanted = spec.get("selector", {}).get("matchLabels", {})
        if not wanted.items() <= template["metadata"]["labels"].items():
            yield f"{name}: it does not select its own pods"
        if "serviceName" in spec and ("Service", spec["serviceName"]) not in named:
            yield f"{name}: there is no {spec['serviceName']}"
        for container in template["spec"]["containers"]:
            for source in container.get("envFrom", []):
                if ("ConfigMap", source["configMapRef"]["name"]) not in named:
                    yield f"{name}: there is no {source['configMapRef']['name']}"
            if not is_exercise(objects):
                yield from addresses(name, container, objects, named)


def is_exercise(objects):
    """Only jobs that sleep: they call nobody."""
    return all(it["metadata"].get("namespace") == "stocks-lab" for it in objects if it["kind"] != "Namespace")


def addresses(name, container, objects, named):
    """Where a container is told that services are."""
    maps = {it["metadata"]["name"]: it["data"] for it in objects if it["kind"] == "ConfigMap"}
    settings = {}
    for source in container.get("envFrom", []):
        settings |= maps.get(source["configMapRef"]["name"], {})
    found = 0
    for argument in container["args"]:
        argument = argument.replace("$(STACK)", settings.get("STACK", ""))
        if "{service}" not in argument:
            continue
        host = argument.rpartition("=")[2].removeprefix("http://").partition(":")[0]
        for service in SERVICES:
            found += 1
            if ("Service", host.replace("{service}", service)) not in named:
                yield f"{name}: {host.replace('{service}', service)} is nowhere"
    if not found:
        yield f"{name}: it is told of nobody"


def main(file):
    with open(file, encoding="utf-8") as text:
        objects = [it for it in yaml.safe_load_all(text) if it]
    wrong = [sentence for name, _, template in pods(objects) for sentence in restricted(name, template)]
    wrong += leads_somewhere(objects)
    if is_exercise(objects):
        if sum(1 for _ in pods(objects)) != 10:
            wrong.append("ten jobs at a time are created")
    elif sum(1 for _ in pods(objects)) != 2 * len(SERVICES) + 1:
        wrong.append("two stacks and a runner are seven workloads")
    print("\n".join(wrong) or f"{file.rpartition('/')[2]}: {len(objects)} objects, none of which can do what it need not")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
