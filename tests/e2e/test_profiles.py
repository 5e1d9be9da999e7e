"""Profiles: the ten that are shipped with the programs they are for, layers, errors, and the options
that they stand for."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from harness import (NATIVE, Result, base_environment, cerebro, kill_tree, run, run_argv, run_host,
                     tool, wait_until)
from home import HOST, Home, home, web

pytestmark = pytest.mark.skipif(NATIVE, reason="profiles are Cerebro's own")

SHIPPED = ("python-script", "node", "gcc-build", "git", "curl", "nginx", "redis", "sqlite", "wine",
           "untrusted-binary")


def need(name: str) -> str:
    path = tool(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def secrets_are_safe(home: Home, profile: str) -> None:
    """Neither keys nor other files of the home directory can be read, and it is not written."""
    script = (f"cat {home.path}/.ssh/id; cat {home.path}/diary; echo x > {home.path}/new; "
              f"echo x > /etc/new; echo done")
    done = home.run(profile, "/bin/sh", "-c", script)
    assert "done" in done.out and "SECRET" not in done.out, str(done)
    assert not (home.path / "new").exists() and not Path("/etc/new").exists()


# ---- the ten ----

@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_is_explained(home: Home, name: str) -> None:
    done = cerebro("explain", "--json", name, cwd=home.project, env=home.env).ok()
    profile = json.loads(done.out)
    assert profile["description"] and profile["view"]["value"] == "minimal"
    hidden = {path["path"] for path in profile["paths"] if path["kind"] == "hide"}
    assert f"{home.path}/.ssh" in hidden
    assert profile["command"].startswith("cerebro run --view minimal ")


@pytest.mark.parametrize("name", [name for name in SHIPPED
                                  if name not in ("nginx", "redis", "sqlite")])
def test_no_shipped_profile_shows_secrets(home: Home, name: str) -> None:
    secrets_are_safe(home, name)


WELL_KNOWN_SECRETS = (
    ".ssh", ".gnupg", ".password-store", ".local/share/keyrings", ".netrc", ".vault-token",
    ".aws", ".azure", ".kube", ".docker", ".config/gcloud", ".config/op", ".terraform.d",
    ".git-credentials", ".config/git/credentials", ".config/gh", ".npmrc", ".pypirc",
    ".mozilla", ".thunderbird", ".config/google-chrome", ".config/chromium",
    ".config/BraveSoftware", ".config/microsoft-edge", ".config/vivaldi", ".config/opera",
    "snap", ".var/app", ".bash_history")


def test_well_known_secrets_are_hidden(home: Home) -> None:
    """Even where a profile shows what is around them."""
    for name in WELL_KNOWN_SECRETS:
        (home.path / name).mkdir(parents=True, exist_ok=True)
    (home.path / ".config/git/ignore").write_text("*.o\n")
    (home.project / "all.yaml").write_text("extends: base\npaths: {write: ~}\n")
    script = 'cd ~; cat .config/git/ignore; for name; do ls -d "$name/."; done; exit 0'
    for profile in ("git", "./all.yaml"):
        done = home.run(profile, "/bin/sh", "-c", script, "-", *WELL_KNOWN_SECRETS).ok()
        assert done.out == "*.o\n", str(done)
    assert done.err.count("Permission denied") == len(WELL_KNOWN_SECRETS), str(done)


def test_what_base_hides_can_be_shown_again(home: Home) -> None:
    (home.path / ".npmrc").write_text("audit=false\n")
    assert "audit" not in home.run("node", "/bin/sh", "-c", "cat ~/.npmrc; exit 0").ok().out
    home.user_profile("node", "paths: {read: ~/.npmrc}\n")
    assert home.run("node", "/bin/sh", "-c", "cat ~/.npmrc").ok().out == "audit=false\n"


def test_python_script(home: Home) -> None:
    python = "/usr/bin/python3"
    (home.project / "data.json").write_text('{"n": 41}')
    (home.project / "script.py").write_text(
        "import json, socket, sqlite3, subprocess\n"
        "n = json.load(open('data.json'))['n'] + 1\n"
        "open('result', 'w').write(str(n))\n"
        "print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout)\n"
        "try:\n    socket.create_connection(('127.0.0.1', 9), 1)\n"
        "except OSError as error:\n    print('no network:', error.errno)\n")
    done = home.run("python-script", python, "script.py").ok()
    assert (home.project / "result").read_text() == "42"
    assert "child" in done.out and "no network: 111" in done.out
    assert any("127.0.0.1:9" in line for line in done.denials())


def test_node(home: Home) -> None:
    node = need("node")
    (home.project / "main.js").write_text(
        "const fs = require('fs');\n"
        "fs.writeFileSync('result', String(fs.readdirSync('.').length));\n"
        "try { fs.readFileSync(process.env.HOME + '/.ssh/id'); } "
        "catch (error) { console.log(error.code); }\n")
    options = ("--bind", f"{Path(os.path.realpath(node)).parents[1]}:ro")
    done = home.run("node", node, "main.js", options=options, timeout=120).ok()
    assert (home.project / "result").read_text() == "1"
    assert done.out.strip() in ("EACCES", "ENOENT")


def test_gcc_build(home: Home) -> None:
    need("make")
    (home.project / "main.c").write_text(
        '#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n')
    (home.project / "Makefile").write_text(
        "main: main.c\n\t/usr/bin/gcc -O1 -o $@ $<\nsteal:\n\tcat $(HOME)/.ssh/id\n")
    home.run("gcc-build", need("make"), timeout=120).ok()
    assert run_host([str(home.project / "main")]).ok().out == "built\n"
    done = home.run("gcc-build", need("make"), "steal")
    assert done.status == 2 and "SECRET" not in done.out


def test_git(home: Home, web: int) -> None:
    git = "/usr/bin/git" if os.access("/usr/bin/git", os.X_OK) else need("git")
    (home.path / ".gitconfig").write_text("[user]\n\tname = Somebody\n\temail = a@example.org\n")
    (home.project / "file").write_text("text\n")
    for words in (("init", "-q", "."), ("add", "file"), ("commit", "-q", "-m", "first")):
        home.run("git", git, *words).ok()
    assert "Somebody" in home.run("git", git, "log").ok().out
    assert "Somebody" in run_host([git, "log"], cwd=home.project, env=home.env).ok().out
    assert home.run("git", git, "config", "--global", "user.name", "Other").status != 0
    assert home.run("git", git, "ls-remote", f"http://{HOST}:{web}/x").status != 0
    assert "Other" not in (home.path / ".gitconfig").read_text()


def test_curl(home: Home, web: int) -> None:
    curl = need("curl")
    home.run("curl", curl, "-s", "-o", "page", f"http://{HOST}:{web}/").ok()
    assert (home.project / "page").read_text() == "page\n"
    assert home.run("curl", curl, "-s", f"file://{home.path}/.ssh/id").status != 0
    assert home.run("curl", curl, "-s", "-o", f"{home.path}/x", f"http://{HOST}:{web}/").status != 0
    assert not (home.path / "x").exists()


def server(home: Home, profile: str, *program: str | Path) -> subprocess.Popen[bytes]:
    with (home.path / "log").open("wb") as log:
        return subprocess.Popen(run_argv(program, ("--profile", profile)), cwd=home.project,
                                env=home.env, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=subprocess.STDOUT, start_new_session=True)


def answer(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), 5) as connection:
            connection.settimeout(5)
            connection.sendall(request)
            return connection.recv(4096)
    except OSError:
        return b""


def wait_for_answer(home: Home, port: int, request: bytes, wanted: bytes) -> None:
    assert wait_until(lambda: wanted in answer(port, request), 30), (home.path / "log").read_text()


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        kill_tree(process.pid)
        process.wait()


NGINX = """
daemon off; pid /run/nginx.pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  server {{
    listen {host}:{port};
    location / {{ root {project}; }}
    location /home/ {{ alias {home}/; }}
  }}
}}
"""


def test_nginx(home: Home) -> None:
    nginx = need("nginx")
    port = free_port()
    (home.project / "page").write_text("a page of nginx\n")
    (home.project / "nginx.conf").write_text(
        ("user root;\n" if os.geteuid() == 0 else "")
        + NGINX.format(host=HOST, port=port, project=home.project, home=home.path))
    process = server(home, "nginx", nginx, "-e", "stderr", "-c", f"{home.project}/nginx.conf")
    try:
        wait_for_answer(home, port, b"GET /page HTTP/1.0\r\n\r\n", b"a page of nginx")
        for secret in (b".ssh/id", b"diary"):
            reply = answer(port, b"GET /home/" + secret + b" HTTP/1.0\r\n\r\n")
            assert reply.split()[1] in (b"403", b"404") and b"SECRET" not in reply
    finally:
        end(process)


def test_redis(home: Home) -> None:
    redis = need("redis-server")
    port = free_port()
    process = server(home, "redis", redis, "--port", str(port), "--bind", HOST, "--save", "",
                     "--enable-debug-command", "yes")
    try:
        wait_for_answer(home, port, b"PING\r\n", b"+PONG")
        assert b"+OK" in answer(port, b"SET key value\r\n")
        assert b"value" in answer(port, b"GET key\r\n")
        assert b"+OK" in answer(port, b"SAVE\r\n")
        assert (home.project / "dump.rdb").exists()
        # Where attackers of redis write their keys.
        reply = answer(port, f"CONFIG SET dir {home.path}/.ssh\r\n".encode())
        assert reply.startswith(b"-"), reply
    finally:
        end(process)


def test_sqlite(home: Home) -> None:
    sqlite = need("sqlite3")
    script = "create table t(x); insert into t values(42); select * from t;"
    assert home.run("sqlite", sqlite, "test.db", script).ok().out == "42\n"
    assert run_host([sqlite, str(home.project / "test.db"), "select x from t"]).ok().out == "42\n"
    assert "SECRET" not in home.run("sqlite", sqlite, ":memory:", ".shell cat diary").out
    done = home.run("sqlite", sqlite, ":memory:", ".shell echo shell")
    assert "shell\n" not in done.out and any("execve" in line for line in done.denials()), str(done)
    assert home.run("sqlite", sqlite, f"{home.path}/other.db", "create table t(x)").status != 0


def test_wine(home: Home) -> None:
    wine = need("wine")
    if run_host([wine, "--version"]).status != 0:
        pytest.skip("wine is installed without its loader (wine32 or wine64)")
    prefix = home.path / ".wine"
    diary = str(home.path / "diary").replace("/", "\\")
    try:
        # Wine's server writes the registry when the last program has ended.
        done = home.run("wine", wine, "cmd", "/c",
                        f"echo windows& echo kept> out.txt& type Z:{diary}",
                        options=("--wait-all",), timeout=300)
        assert "windows" in done.out.split() and "SECRET" not in done.out, str(done)
        assert (home.project / "out.txt").read_text() == "kept\n", str(done)
        assert stat.S_IMODE(prefix.stat().st_mode) == 0o700 and (prefix / "system.reg").exists()
    finally:
        shutil.rmtree(prefix, ignore_errors=True)  # some 700 MB


def test_untrusted_binary(home: Home) -> None:
    (home.project / "program").write_text(
        "#!/bin/sh\n"
        f"cat {home.path}/diary {home.path}/.ssh/id ./file\n"
        f"echo x > {home.path}/written && cat {home.path}/written\n"
        "echo HOME=$HOME TOKEN=$TOKEN\nls /\nulimit -n\n")
    (home.project / "program").chmod(0o755)
    (home.project / "file").write_text("SECRET\n")
    home.env["TOKEN"] = "SECRET"
    done = home.run("untrusted-binary", "./program")
    assert done.status == 0 and "SECRET" not in done.out, str(done)
    assert "HOME=/tmp TOKEN=\n" in done.out and "1024" in done.out and "x\n" in done.out
    assert not (home.path / "written").exists()


# ---- layers ----

def explain(home: Home, *words: str) -> str:
    return cerebro("explain", *words, cwd=home.project, env=home.env).ok().out


def test_the_users_file_is_a_layer_above_the_shipped_one(home: Home) -> None:
    home.user_profile("sqlite", "limits:\n  pids: 7\npaths:\n  read:\n    - ~/diary\n")
    profile = json.loads(cerebro("explain", "--json", "sqlite", cwd=home.project,
                                 env=home.env).ok().out)
    assert profile["limits"]["pids"] == {
        "value": 7, "file": f"{home.path}/.config/cerebro/profiles/sqlite.yaml", "line": 2,
        "layer": "the user's"}
    assert [file["layer"] for file in profile["files"]] == ["shipped", "shipped", "the user's"]
    done = home.run("sqlite", need("sqlite3"), ":memory:", "select readfile('../diary')").ok()
    assert done.out == "SECRET\n\n"


def test_a_file_can_replace_the_layers_below(home: Home) -> None:
    home.user_profile("git", "replace: true\nnetwork: host\n")
    profile = json.loads(cerebro("explain", "--json", "git", cwd=home.project, env=home.env).out)
    assert profile["paths"] == [] and profile["network"]["value"] == "host"


def test_the_configuration_directory_of_the_environment(home: Home, work: Path) -> None:
    folder = work / "config/cerebro/profiles"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("environment: {set: {COLOUR: green}}\n")
    home.env["XDG_CONFIG_HOME"] = str(work / "config")
    assert home.run("mine", "/bin/sh", "-c", "echo $COLOUR").ok().out == "green\n"


def test_options_and_later_profiles_win(home: Home) -> None:
    home.user_profile("one", "environment: {set: {A: one, B: one, C: one}}\nlimits: {files: 100}\n")
    home.user_profile("two", "environment: {set: {B: two, C: two}}\n")
    done = home.run("one", "/bin/sh", "-c", "echo $A $B $C; ulimit -n",
                    options=("--profile", "two", "--env", "C=three", "--limit", "files=200")).ok()
    assert done.out == "one two three\n200\n"


def test_extending(home: Home) -> None:
    (home.project / "low.yaml").write_text("paths: {hide: [~/diary, ~/.ssh]}\nnetwork: host\n")
    (home.project / "high.yaml").write_text(
        "extends: low.yaml\npaths: {drop: [~/diary]}\nnetwork: {mode: none}\n")
    done = home.run("./high.yaml", "/bin/sh", "-c", "cat ~/diary; cat ~/.ssh/id; exit 0").ok()
    assert done.out == "SECRET\n" and "Permission denied" in done.err


def test_cycles_and_depth(home: Home) -> None:
    home.user_profile("a", "extends: b\n")
    home.user_profile("b", "extends: a\n")
    done = home.run("a", "/bin/true")
    assert done.status == 125 and "extends itself" in done.err
    for i in range(12):
        home.user_profile(f"d{i}", f"extends: d{i + 1}\n")
    done = home.run("d0", "/bin/true")
    assert done.status == 125 and "too deeply" in done.err and "d8.yaml:1:10" in done.err, str(done)


# ---- errors ----

@pytest.mark.parametrize("text, where, sentence, hint", [
    ("pahts:\n  read: [/usr]\n", "1:1", "there is no key 'pahts' here", "did you mean 'paths'?"),
    ("paths:\n  raed: [/usr]\n", "2:3", "there is no key 'raed' here", "did you mean 'read'?"),
    ("paths: {read: [usr]}\n", "1:16", "it is not absolute", "write /"),
    ("paths: {read: [/a/../b]}\n", "1:16", "'..' is not used", "where it leads"),
    ("paths: {write: [/]}\n", "1:17", "can only be read", ""),
    ("paths: {create: [/]}\n", "1:18", "can only be read", ""),
    ("paths: {creat: [/x]}\n", "1:9", "there is no key 'creat' here", "did you mean 'create'?"),
    ("network: off\n", "1:10", "'off' is no value of 'network'", "none, host"),
    ("limits: {memory: lots}\n", "1:18", "no positive number|not a positive number", "K, M, G"),
    ("calls: {deny: [opneat]}\n", "1:16", "no system call 'opneat'", "cerebro syscalls"),
    ("calls: {deny: [mmap]}\n", "1:16", "mmap cannot be denied", ""),
    ("calls: {deny: [ptrace=EFOO]}\n", "1:16", "no error 'EFOO'", ""),
    ("personality: {type: windows}\n", "1:21", "no value of 'type'", "linux"),
    ("mode: enforce\nmode: report\n", "2:1", "second time", "once"),
    ("a: &x 1\nb: *x\n", "1:4", "tags and anchors", ""),
    ("paths:\n\tread: [/usr]\n", "2:1", "", ""),
    ("mode: report\n---\nmode: report\n", "2:1", "one document", ""),
    ("network: {allow: ['127.0.0.1:x']}\n", "1:19", "127.0.0.1:x", ""),
])
def test_errors_have_a_place_and_advice(home: Home, text: str, where: str, sentence: str,
                                        hint: str) -> None:
    (home.project / "bad.yaml").write_text(text)
    done = home.run("./bad.yaml", "/bin/echo", "ran")
    assert done.status == 125 and "ran" not in done.out
    assert f"./bad.yaml:{where}: " in done.err, str(done)
    assert any(part in done.err for part in sentence.split("|")) and hint in done.err, str(done)


def test_what_is_no_profile(home: Home) -> None:
    (home.project / "large.yaml").write_text("#" * 70000)
    os.mkfifo(home.project / "fifo.yaml")
    for name, sentence in (("./large.yaml", "at most"), ("./fifo.yaml", "is no file"),
                           ("./missing.yaml", "No such file"), ("nosuch", "there is no profile"),
                           ("../x", "cannot read"), (".hidden", "no name of a profile")):
        done = home.run(name, "/bin/true")
        assert done.status == 125 and sentence in done.err, str(done)


def is_refused_as_a_project(folder: Path, **environment: str) -> None:
    for profile in ("git", "python-script"):
        done = run("/bin/true", options=("--profile", profile), cwd=folder,
                   env=base_environment(**environment))
        assert done.status == 125 and "it would open the whole of" in done.err, str(done)


def test_a_home_directory_is_no_project(home: Home, work: Path) -> None:
    is_refused_as_a_project(home.path, HOME=str(home.path))
    is_refused_as_a_project(work, HOME=f"{home.path}/")
    (work / "link").symlink_to(home.path)
    is_refused_as_a_project(home.path, HOME=str(work / "link"))
    is_refused_as_a_project(work, HOME=str(work / "link"))
    done = home.run("git", "/bin/true", options=("--env", "HOME=/"))
    assert done.status == 0, str(done)


def test_the_home_directory_of_who_called_sudo_is_no_project(home: Home) -> None:
    other = next(entry for entry in pwd.getpwall()
                 if entry.pw_uid != os.getuid() and entry.pw_dir.count("/") > 1
                 and os.access(entry.pw_dir, os.X_OK))
    is_refused_as_a_project(Path(other.pw_dir), HOME=str(home.path), SUDO_UID=str(other.pw_uid))


@pytest.mark.parametrize("owner", ["self", "other"])
def test_the_home_directory_of_its_owner_is_no_project(home: Home, work: Path, is_root: bool,
                                                       owner: str) -> None:
    """Whatever HOME says: the password file does."""
    if owner == "other" and not is_root:
        pytest.skip("only root can give files away")
    uid = 23456 if owner == "other" else 0  # unshare --map-root-user makes root of us
    if owner == "other":
        os.chown(home.path, uid, uid)
    (work / "passwd").write_text("somebody:x:1:1::/usr/sbin:/bin/sh\n"
                                 f"me:x:{uid}:0:Me:{home.path}:/bin/sh\n")
    inside = [*([] if is_root else ["--map-root-user"]), "--mount", "/bin/sh", "-c",
              f'mount --bind {work}/passwd /etc/passwd || exit 77; exec "$@"', "sh"]
    done = run_host(["unshare", *inside, *run_argv(["/bin/true"], ("--profile", "git"))],
                    cwd=home.path, env=base_environment(HOME=str(work / "nowhere")))
    if done.status in (1, 77) and "it would open" not in done.err:
        pytest.skip(f"no mount namespace here: {done.err.strip()}")
    assert done.status == 125 and "it would open the whole of" in done.err, str(done)


# ---- the options ----

def test_hidden_paths(home: Home) -> None:
    (home.project / "link").symlink_to(home.path / ".ssh")
    script = ("cat ~/.ssh/id; cat link/id; ls ~/.ssh; cd ~/.ssh && ls; echo x > ~/.ssh/new; "
              "mv ~/.ssh ~/moved; rm -rf ~/.ssh; chmod 700 ~/.ssh; cat /other/.ssh/id /one; "
              "cat ~/.ssh/../.ssh/id; cat /proc/self/root$HOME/.ssh/id; test -d ~/.ssh && cat ~/diary")
    for identity in ((), ("--uid", "0")):
        done = run("/bin/sh", "-c", script, cwd=home.project, env=home.env, options=(
            *identity, "--hide", f"{home.path}/.ssh", "--hide", f"{home.path}/nothing",
            "--write", home.path, "--bind", f"{home.path}:/other", "--bind",
            f"{home.path}/.ssh/id:/one"))
        assert done.status == 0 and done.out == "SECRET\n", str(done)  # the diary
        assert (home.path / ".ssh/id").read_text() == "SECRET\n"
        assert os.listdir(home.path / ".ssh") == ["id"]


def test_a_hidden_file(home: Home) -> None:
    done = run("/bin/sh", "-c", "cat ~/diary; test -e ~/diary; echo $?; echo x > ~/diary",
               options=("--hide", f"{home.path}/diary"), env=home.env)
    assert done.out == "0\n" and "Permission denied" in done.err, str(done)


def test_denied_calls(home: Home) -> None:
    (home.project / "file").write_text("x")
    script = ("import os\n"
              "for call in (lambda: os.unlink('file'), lambda: os.mkdir('d'), os.getppid, os.fork):\n"
              "    for again in range(2):\n"
              "        try:\n            print(type(call()).__name__)\n"
              "        except OSError as error:\n            print(error.errno)\n")
    done = run("/usr/bin/python3", "-c", script, cwd=home.project, env=home.env,
               options=("--deny", "unlink,unlinkat=EIO", "--deny", "fork,clone=EAGAIN,clone3"))
    assert done.status == 0, str(done)
    assert done.out.split() == ["1", "1", "NoneType", "17", "int", "int", "11", "11"], str(done)
    assert len([line for line in done.denials() if "system call unlink " in line]) == 1


@pytest.mark.parametrize("text, sentence", [
    ("nothing", "no system call"), ("exit_group", "without exit_group"), ("mkdir=EWHAT", "no error"),
])
def test_calls_that_cannot_be_denied(text: str, sentence: str) -> None:
    done = run("/bin/true", options=("--deny", text))
    assert done.status == 2 and sentence in done.err


def test_a_minimal_view(home: Home) -> None:
    (home.project / "file").write_text("x")
    script = ("cat ./file || exit 1; ls ~; echo x > ./file; echo x > /new; mkdir ~/d; "
              "echo x > /tmp/t && cat /tmp/t; cat /etc/passwd")
    done = run("/bin/sh", "-c", script, cwd=home.project, env=home.env,
               options=("--view", "minimal", "--bind", "/usr:ro", "--bind", "/etc/ld.so.cache:ro",
                        "--bind", f"{home.project}:ro"))
    assert done.out == "xproject\nx\n", str(done)
    assert done.err.count("Read-only file system") >= 2 and "No such file" in done.err


def test_scratch_directories(home: Home) -> None:
    done = run("/bin/sh", "-c", "ls -A ~; echo x > ~/new; cat ~/new; cat ~/project/file", env=home.env,
               options=("--scratch", home.path, "--bind", f"{home.project}:ro"))
    assert done.out == "project\nx\n", str(done)
    assert not (home.path / "new").exists()


def test_clearing_the_environment(home: Home) -> None:
    done = run("/usr/bin/env", options=("--clear-env", "--env", "A=1"), env=home.env)
    assert done.ok().out == "A=1\n"
    done = run("/bin/sh", "-c", "echo $A-$B", options=("--unset", "A"), env=home.env | {
        "A": "1", "B": "2"})
    assert done.ok().out == "-2\n"


def test_a_limit_of_file_size(home: Home) -> None:
    (home.project / "p.yaml").write_text("limits: {fsize: 4K}\npaths: {write: .}\n")
    done = home.run("./p.yaml", "/bin/sh", "-c", "head -c 9000 /dev/zero > file; echo $?")
    assert done.out == f"{128 + signal.SIGXFSZ}\n", str(done)
    assert (home.project / "file").stat().st_size == 4096


def test_ids(home: Home) -> None:
    (home.project / "p.yaml").write_text('personality:\n  uid: "7:8"\n')
    assert home.run("./p.yaml", "/bin/sh", "-c", "id -u; id -g").ok().out == "7\n8\n"
    (home.project / "p.yaml").write_text("personality: {uid: 9}\n")
    assert home.run("./p.yaml", "/bin/sh", "-c", "id -u; id -g").ok().out == "9\n9\n"


def test_variables_that_are_taken_out(home: Home) -> None:
    (home.project / "p.yaml").write_text("environment: {unset: [TOKEN, MISSING]}\n")
    home.env |= {"TOKEN": "SECRET", "TOKENS": "2"}
    done = home.run("./p.yaml", "/bin/sh", "-c", "echo ${TOKEN-none} $TOKENS").ok()
    assert done.out == "none 2\n", str(done)
    done = home.run("./p.yaml", "/bin/sh", "-c", "echo $TOKEN", options=("--env", "TOKEN=mine"))
    assert done.ok().out == "mine\n", str(done)


# ---- the network ----

CONNECT = """
import socket, sys
for address in ("127.0.0.1", "127.0.0.2"):
    try:
        socket.create_connection((address, int(sys.argv[1])), timeout=5).close()
        print("connected")
    except OSError as error:
        print(error.strerror)
"""


def connect(home: Home, port: int, *options: str) -> Result:
    return home.run("./rules.yaml", "/usr/bin/python3", "-c", CONNECT, str(port), options=options)


def test_network_rules(home: Home, web: int) -> None:
    (home.project / "rules.yaml").write_text(
        f"network:\n  mode: host\n  allow: ['127.0.0.1:{web}']\n")
    done = connect(home, web).ok()
    assert done.out == "connected\nPermission denied\n", str(done)
    assert f"connect to 127.0.0.2:{web} (tcp)" in "\n".join(done.denials()), str(done)
    # The command line wins: another rule, or no network at all.
    denied = connect(home, web, "--deny-net", f"127.0.0.1:{web}").ok()
    assert denied.out == "Permission denied\nPermission denied\n", str(denied)
    assert "connected" not in connect(home, web, "--net", "none").ok().out
    told = connect(home, web, "--report-only").ok()
    assert told.out.startswith("connected\n") and "Permission denied" not in told.out, str(told)
    assert f"connect to 127.0.0.2:{web} (tcp)" in told.err, str(told)


@pytest.mark.parametrize("rules", ["allow: ['127.0.0.1:{port}']", "deny: [10.0.0.0/8]"])
def test_no_network_is_none_whatever_the_rules_of_other_layers(home: Home, web: int,
                                                               rules: str) -> None:
    (home.project / "low.yaml").write_text(f"network:\n  {rules.format(port=web)}\n")
    (home.project / "rules.yaml").write_text("extends: low.yaml\nnetwork: none\n")
    for options in ((), ("--deny-net", "10.0.0.0/8")):
        done = connect(home, web, *options).ok()
        assert done.out == "Connection refused\n" * 2, str(done)
    explained = json.loads(explain(home, "--json", "./rules.yaml"))
    assert explained["network"]["value"] == "none" and explained["network"]["line"] == 2
    assert "-net" not in explained["command"] and "--net" not in explained["command"]
    assert "with --net host " in explain(home, "./rules.yaml")
    # The command line may open it; the rules hold then.
    assert connect(home, web, "--net", "host").ok().out.startswith("connected\n")
    allowed = connect(home, web, "--allow-net", f"127.0.0.1:{web}").ok()
    assert allowed.out == "connected\nPermission denied\n", str(allowed)


def test_rules_without_a_mode_are_for_the_hosts_network(home: Home, web: int) -> None:
    (home.project / "rules.yaml").write_text(f"network:\n  deny: ['127.0.0.1:{web}']\n")
    done = connect(home, web).ok()
    assert done.out == "Permission denied\nConnection refused\n", str(done)
    explained = json.loads(explain(home, "--json", "./rules.yaml"))
    assert explained["network"]["value"] == "host" and explained["network"]["line"] == 2
    assert f"--net host --deny-net 127.0.0.1:{web} " in explained["command"]


# ---- the same by hand ----

def by_hand(home: Home, profile: str) -> list[str]:
    words = shlex.split(json.loads(explain(home, "--json", profile))["command"])
    assert words[:2] == ["cerebro", "run"] and words[-2:] == ["--", "PROGRAM"]
    return words[2:-2]


def test_the_equivalent_command(home: Home) -> None:
    """What `cerebro explain` prints shows and hides what the profile does."""
    (home.project / "seen").write_text("seen\n")
    script = "cat ./seen ../diary ~/.ssh/id; echo x > ./made; echo x > ../made; exit 3"
    for options in (["--profile", "python-script"], by_hand(home, "python-script")):
        (home.project / "made").unlink(missing_ok=True)
        done = run("/bin/sh", "-c", script, options=options, cwd=home.project, env=home.env)
        assert done.status == 3 and done.out == "seen\n", str(done)
        assert (home.project / "made").read_text() == "x\n"
        assert not (home.path / "made").exists()


def test_the_equivalent_command_has_paths_with_colons(home: Home) -> None:
    names = ["a:b", "a:ro", "c\\d", "e\\", "x:/y:ro", "q'"]
    for name in names:
        (home.project / name).mkdir(parents=True)
        (home.project / name / "file").write_text(name)
    (home.project / "q.yaml").write_text(
        "view: minimal\npaths:\n  write: ['./a:b']\n  hide: ['./a:b/file']\n"
        "  read:\n    - /usr\n    - /etc/ld.so.cache\n"
        + "".join(f"    - {json.dumps('./' + name)}\n" for name in names[1:]))
    script = "cat './a:ro/file' './c\\d/file' './e\\/file' './x:/y:ro/file' \"./q'/file\"; " \
             "cat './a:b/file'; exit 3"
    for options in (["--profile", "./q.yaml"], by_hand(home, "./q.yaml")):
        done = run("/bin/sh", "-c", script, options=options, cwd=home.project, env=home.env)
        assert done.status == 3 and done.out == "".join(names[1:]), str(done)
        assert "Permission denied" in done.err and "Read-only" not in done.err, str(done)
