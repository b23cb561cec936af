"""Asks whether Ray listens at HOST:PORT; prints why what listens there is no Ray, or nothing. Run as a process.

    python cluster/ask_ray.py HOST:PORT SECONDS gcs|client

A process of its own: the Python gRPC library beside the one inside Ray corrupts the memory of a process now and then.
"""

import sys

import grpc
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, ray_client_pb2, ray_client_pb2_grpc

SILENT, OPEN = 3, 4
"""Exit statuses where nobody answered in time, and where Ray answered: it wants no token."""


def main(target: str, seconds: str, kind: str) -> int:
    """Asks, and returns the exit status."""
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            if kind == "client":
                ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
                ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(ping, timeout=float(seconds))
            else:
                stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
                stub.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=float(seconds))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return SILENT
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED):
                print("something else listens there")
            return 0  # what it has against the question, Ray's own error says
    return OPEN


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
