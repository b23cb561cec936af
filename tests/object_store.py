"""A real S3 server on this machine, for tests."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

KEY, SECRET = "crucible-test", "do-not-tell-anyone"
BUCKET = "bucket"


@contextlib.contextmanager
def s3_server(folder):
    """SeaweedFS with one bucket, its data in `folder`; yields the environment by which clients reach it."""
    for attempt in range(3):
        server, reach = start_server(folder / str(attempt))
        try:
            if await_bucket(reach, server):
                yield reach
                return
        finally:
            server.kill()
            server.wait()
    raise AssertionError("the S3 server did not come up")


def start_server(folder):
    """(process, environment of its clients), on ports that were free just now."""
    folder.mkdir()
    ports = free_ports(8)
    names = [f"{part}.port{grpc}" for part in ("master", "volume", "filer", "s3") for grpc in ("", ".grpc")]
    command = [str(Path(sys.executable).parent / "weed"), "server", f"-dir={folder}", "-ip=127.0.0.1"]
    command += [
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
    ]
    command += ["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20"]
    command += [f"-{name}={port}" for name, port in zip(names, ports)]
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    reach = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[6]}", "AWS_DEFAULT_REGION": "us-east-1", **keys}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env={**os.environ, **keys}, **quiet), reach


def await_bucket(reach, server):
    """Until the server has made the bucket; False where it has died, of a port that was taken meanwhile, say."""
    from pyarrow.fs import S3FileSystem

    system = S3FileSystem(
        access_key=KEY, secret_key=SECRET, endpoint_override=reach["AWS_ENDPOINT_URL"], allow_bucket_creation=True
    )
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            system.create_dir(BUCKET)
            with system.open_output_stream(f"{BUCKET}/ready") as stream:
                stream.write(b"1")
            return True
        time.sleep(0.1)
    return False


def free_ports(count):
    """Ports that nobody uses just now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
