#!/usr/bin/python3
"""The compose file as a user has it, with shorter runs: see run.sh, which makes the images and calls this.

Waits for conditions, with limits on how long; nothing here is a measurement of latency, since the machine is shared. Whatever
happens, everything is taken down again. Ends with 1 at the first thing that is not as it should be, and with 3 if the machine was so busy
that this proves nothing.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

PROJECT = "pumphandle-test"
FILES = ["docker-compose.yml", "tests/compose/override.yml"]
TOKEN = "inside-these-networks-only"
SERVICES = [f"{stack}-{name}" for stack in ("control", "treatment") for name in ("client", "api", "db", "replica")]
CONTAINERS = [*SERVICES, "runner", "prometheus"]
# Users of this test have 3 s for an answer of 0.1 s. When they are begun this late, in seconds, it is the machine that fails.
TOO_LATE = 0.5
DASHBOARDS = os.environ.get("DASHBOARDS", "target/release/dashboards")



def free_ports(count):
    """Ports that are free now; somebody may have this rig running on its own ports, or another."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


PAGE, PROMETHEUS = free_ports(2)
os.environ.update(
    COMPOSE_PROJECT_NAME=PROJECT,
    PUMPHANDLE_PORT=str(PAGE),
    PROMETHEUS_PORT=str(PROMETHEUS),
    COMPOSE_FILE=":".join(FILES),
)
for unset in ("PUMPHANDLE_TOKEN", "COMPOSE_PROFILES"):
    os.environ.pop(unset, None)

has_v2 = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
COMPOSE = ["docker", "compose"] if has_v2 else ["docker-compose"]
began = time.monotonic()


def say(text):
    print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)


def check(holds, sentence):
    if not holds:
        raise AssertionError(sentence)


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    check(done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def compose(*arguments, **more):
    return run([*COMPOSE, *arguments], **more)


def until(what, seconds, look):
    """Waits until `look` returns something; fails with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        check(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.5)


def query(expression):
    """Samples of an instant query, as (labels, value)."""
    body = urllib.parse.urlencode({"query": expression}).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PROMETHEUS}/api/v1/query", body, timeout=20) as answer:
            result = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expression}: {error.read().decode()}") from error
    except OSError:
        return []
    return [(sample["metric"], float(sample["value"][1])) for sample in result]


def value(expression):
    samples = query(expression)
    return samples[0][1] if len(samples) == 1 else None


def good(arm):
    """The share of users of the last 15 s that got a good answer."""
    return value(f'pumphandle:goodput:rate15s{{arm="{arm}"}} / sum by (run, arm) (rate(pumphandle_users_due_total[15s]))')


def phase():
    return next((labels["phase"] for labels, on in query("pumphandle_phase") if on == 1), None)


def container(service):
    """Its id; none if it was never made. Asked of the engine: compose takes a second to answer."""
    labels = (f"project={PROJECT}", f"service={service}")
    filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
    return run(["docker", "ps", "-aq", *filters]).strip()


def inspect(service):
    return json.loads(run(["docker", "inspect", container(service)]))[0]


def log(service):
    """What a container has printed, to either stream."""
    command = ["docker", "logs", container(service)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


# ---- what can be seen before anything runs

def configuration(files, **environment):
    text = compose("config", env={**os.environ, "COMPOSE_FILE": ":".join(files), **environment})
    return yaml.safe_load(text)["services"]


def ports(services):
    return sorted(str(port) for service in services.values() for port in service.get("ports", []))


def files():
    base = configuration(["docker-compose.yml"])
    check(len(base) >= 11, f"the profile of .env has the stacks: {sorted(base)}")
    for port in ports(base):
        check("127.0.0.1" in port, f"only this machine reaches {port}")
    # docker-compose 1.29 lists services of other profiles too.
    limits = [memory(service["mem_limit"]) for name, service in base.items() if name != "load"]
    check(all(limits) and sum(limits) < 1.5 * 2**30, f"memory limits add up to {sum(limits) / 2**20:.0f} MiB")
    room = ["docker-compose.yml", "docker-compose.room.yml"]
    without = subprocess.run([*COMPOSE, "config"], capture_output=True, env={**os.environ, "COMPOSE_FILE": ":".join(room)})
    check(without.returncode != 0, "the room opens without a token of its own")
    opened = configuration(room, PUMPHANDLE_TOKEN="a-token-of-our-own")
    more = set(ports(opened)) - set(ports(base))
    check(len(more) == 1 and "9100" in next(iter(more)), f"the room opens the page and nothing else: {more}")
    for name, service in opened.items():
        if "PUMPHANDLE_TOKEN" in service.get("environment", {}) and name != "load":
            check(service["environment"]["PUMPHANDLE_TOKEN"] == "a-token-of-our-own", f"{name} has another token")
    with open("docker-compose.yml", encoding="utf-8") as file:
        profiles = {name: service.get("profiles") for name, service in yaml.safe_load(file)["services"].items()}
    for name in [*SERVICES, "runner"]:
        check(profiles[name] == ["live"], f"a replay starts {name}")
    check(profiles["prometheus"] is None and profiles["grafana"] is None, "what shows is there in every profile")
    say(f"compose file: {len(limits)} services, limits of {sum(limits) / 2**20:.0f} MiB together")


def memory(text):
    number, unit = re.fullmatch(r"(\d+)([kmg]?)b?", str(text)).groups()
    return int(number) * {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[unit]


# ---- the rig, up

def up():
    compose("up", "-d", "--no-build")
    started = time.monotonic()
    healthy = lambda name: inspect(name)["State"].get("Health", {}).get("Status") == "healthy"
    for name in CONTAINERS:
        until(f"{name} is healthy", 60, lambda: healthy(name))
    say("all are healthy")
    for name in CONTAINERS:
        at_work = inspect(name)
        kept = at_work["HostConfig"]
        check(kept["ReadonlyRootfs"] and kept["CapDrop"] == ["ALL"], f"{name} can do more than it needs")
        check(any(option.startswith("no-new-privileges") for option in kept["SecurityOpt"]), name)
        check(kept["LogConfig"]["Config"]["max-size"] == "1m", f"{name}: its log grows without end")
        check(at_work["Config"]["User"] not in ("", "0", "root"), f"{name} runs as root")
        for bindings in (kept["PortBindings"] or {}).values():
            check(all(binding["HostIp"] == "127.0.0.1" for binding in bindings), f"others can reach {name}")
    for stack in ("control", "treatment"):
        check(json.loads(run(["docker", "network", "inspect", f"{PROJECT}_{stack}"]))[0]["Internal"], f"{stack} reaches out")
    empty = log("control-replica")
    check("is empty" in empty, f"retry-storm has three services, and the fourth place says: {empty}")
    every = until("every target is up", 20, lambda: all_up())
    say(f"Prometheus scrapes {every} targets, all up")
    return started


def all_up():
    targets = query("up")
    return len(targets) == 9 and all(on == 1 for _, on in targets) and len(targets)


def incident(started):
    until("a trigger acts", 90, lambda: value("max(pumphandle_trigger_active)") == 1)
    until("the incident is on the screen", 60, lambda: (good("control") or 1) < 0.5)
    say(f"first incident on the screen {time.monotonic() - started:.0f} s after `up` (the trigger comes at 15 s here, at 60 s in the scenario)")
    until("the trigger has gone and the lever is pulled", 90, lambda: phase() == "after" and value(
        'max(pumphandle_lever_active{arm="treatment"})') == 1)
    until("the treatment recovers", 60, lambda: (good("treatment") or 0) > 0.8)
    share = good("control")
    check(share is not None and share < 0.2, f"the control stays down: {share} of its users are content")
    pending = query('ALERTS{alertname="MetastableFailure", arm="control"}')
    check(pending, "nothing is about to be said of the control")
    say(f"the treatment recovers ({good('treatment'):.0%} good), the control does not ({share:.0%})")


def memory_used():
    text = run(["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *map(container, CONTAINERS)])
    used = 0.0
    for line in sorted(text.splitlines()):
        name, amount, unit = re.match(r"(\S+) ([0-9.]+)(\w+)", line).groups()
        mebibytes = float(amount) * {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[unit]
        used += mebibytes
        say(f"  {name:36} {mebibytes:6.1f} MiB")
    say(f"  together, without Grafana: {used:.0f} MiB")


def dashboards():
    """Every query of every dashboard, asked by the checker of the dashboards, which knows what may be empty."""
    if not os.access(DASHBOARDS, os.X_OK):
        say(f"NOT TESTED: the dashboards' queries; there is no {DASHBOARDS}")
        return
    say(run([DASHBOARDS, f"http://127.0.0.1:{PROMETHEUS}", "live"]).splitlines()[-1])


# ---- hands that are refused

def asked(host, port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (BrokenPipeError, ConnectionResetError):
        # It answered before it had read what was too long, and closed.
        return 413, ""
    finally:
        connection.close()


def refusals():
    """At a service's admin port, which this machine reaches by the container's address, and at the page."""
    networks = inspect("control-api")["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    look = lambda: [asked(address, 9100, "GET", path) for path in ("/settings", "/events")]
    before = look()
    check(before[0][0] == 200 and "api" in json.loads(before[0][1]), f"{before}")
    right = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    change = '{"api.workers": 20}'
    cases = [
        ("no token", "PATCH", "/settings", change, {"content-type": "application/json"}, 401),
        ("another token", "PATCH", "/settings", change, {**right, "authorization": "Bearer another-token-than-ours"}, 401),
        ("no JSON", "PATCH", "/settings", "workers, more of them", right, 400),
        ("an unknown setting", "PATCH", "/settings", '{"api.wrokers": 20}', right, 422),
        ("a good and a bad one", "PATCH", "/settings", '{"api.workers": 20, "api.queue.size": -1}', right, 422),
        ("an unknown trigger", "POST", "/disturb", '{"trigger": "earthquake"}', right, 422),
        ("a huge body", "PATCH", "/settings", '{"x": "' + "x" * 200_000 + '"}', right, 413),
        ("no JSON by its name", "PATCH", "/settings", change, {**right, "content-type": "text/plain"}, 415),
        ("a stranger's name", "PATCH", "/settings", change, {**right, "host": "evil.example"}, 421),
        ("a web page", "PATCH", "/settings", change, {**right, "origin": "https://evil.example"}, 403),
        ("an unknown path", "POST", "/shutdown", "{}", right, 404),
    ]
    for what, method, path, body, headers, expected in cases:
        status, text = asked(address, 9100, method, path, body, headers)
        check(400 <= status < 500, f"{what}: {status} {text}")
        check(status == expected, f"{what}: {status} instead of {expected}: {text}")
        check(text or status == 413, f"{what}: it does not say why")
    check(look() == before, "a refused request has changed something")
    at_page = [
        ("no token", "POST", "/stop", "{}", {"content-type": "application/json"}, 401),
        ("a stranger's name", "GET", "/", None, {"host": "evil.example"}, 421),
        ("a web page", "POST", "/stop", "{}", {**right, "origin": "https://evil.example"}, 403),
    ]
    for what, method, path, body, headers, expected in at_page:
        status, text = asked("127.0.0.1", PAGE, method, path, body, headers)
        check(status == expected, f"the page, {what}: {status} instead of {expected}: {text}")
    status, text = asked("127.0.0.1", PAGE, "GET", "/", None, {"accept": "text/html"})
    check(status == 200 and "<html" in text.lower(), f"the page: {status} {text[:200]}")
    say(f"{len(cases) + len(at_page)} requests refused with what is wrong; nothing was changed")


# ---- a service that dies

def killed():
    until("the next run begins", 180, lambda: phase() == "before")
    until("its trigger acts", 60, lambda: phase() == "trigger")
    run(["docker", "kill", container("treatment-api")])
    down = 'up{instance="treatment-2:9100"}'
    until("Prometheus sees that it is away", 20, lambda: value(down) == 0)
    until("the run says so", 30, lambda: "treatment: api does not answer" in log("runner"))
    run(["docker", "start", container("treatment-api")])
    until("it is back", 30, lambda: value(down) == 1)
    until("the run ends", 180, lambda: phase() in ("ended", "waiting"))
    say("a service was killed, and the run said so and ended")
    judged = [value for labels, value in query('pumphandle_verdict{arm="treatment", verdict="not tested"}')]
    check(1 in judged, f"a run that lost a service is not tested: {query('pumphandle_verdict')}")
    until("the rig goes on", 60, lambda: phase() == "before")
    until("the treatment is well again", 60, lambda: (good("treatment") or 0) > 0.8)
    until("every target is up", 20, all_up)
    say("it was started again, and the next run finds both stacks well")


# ---- the end

def down():
    # To the end, however often somebody interrupts: in a session of its own, which a terminal's interrupt does not reach.
    for interrupt in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_IGN)
    subprocess.run([*COMPOSE, "down", "-v", "--remove-orphans", "-t", "3"], capture_output=True, start_new_session=True)
    left = []
    for kind in (["ps", "-aq"], ["network", "ls", "-q"], ["volume", "ls", "-q"]):
        left += run(["docker", *kind, "--filter", f"label=com.docker.compose.project={PROJECT}"]).split()
    return left


def main():
    interrupted = lambda *_: sys.exit(130)
    for interrupt in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(interrupt, interrupted)
    failure, late = None, 0.0
    try:
        files()
        started = up()
        refusals()
        incident(started)
        memory_used()
        killed()
        dashboards()
    except AssertionError as error:
        failure = error
        late = value("max(max_over_time(pumphandle_rig_lag_seconds[3m]))") or 0.0
        for name in CONTAINERS:
            if container(name):
                print(f"--- {name}\n" + "\n".join(log(name).splitlines()[-15:]))
    finally:
        left = down()
        say(f"taken down: {len(left)} containers, networks and volumes left")
    if failure and not left and late > TOO_LATE:
        print(f"NOT TESTED: {failure}; but users were begun up to {late:.1f} s late: the machine was too busy")
        sys.exit(3)
    if failure or left:
        sys.exit(f"FAILED: {failure or left}")
    say("the rig in containers does what it should")


if __name__ == "__main__":
    main()
