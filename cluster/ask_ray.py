"""Asks whether Ray listens at HOST:PORT; prints nothing, or why the server there is not Ray.

    python cluster/ask_ray.py HOST:PORT SECONDS gcs|client

Run as a separate process: now and then, the Python gRPC library corrupts the memory of a process that also loads Ray's.
"""

import sys
from typing import Any

import grpc
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, ray_client_pb2, ray_client_pb2_grpc

GCS: Any = gcs_service_pb2
CLIENT: Any = ray_client_pb2
"""Modules that protobuf fills at their import, so that no type checker sees what they hold."""
SILENT, OPEN = 3, 4
"""Exit statuses: nobody answered in time; Ray answered, so it requires no token."""


def main(target: str, seconds: str, kind: str) -> int:
    """Asks, and returns the exit status."""
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            if kind == "client":
                ping = CLIENT.ClusterInfoRequest(type=CLIENT.ClusterInfoType.PING)
                ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(ping, timeout=float(seconds))
            else:
                stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
                stub.CheckAlive(GCS.CheckAliveRequest(), timeout=float(seconds))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return SILENT
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED):
                print("something else listens there")
            return 0  # Ray's own error will say what is wrong with the request
    return OPEN


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
