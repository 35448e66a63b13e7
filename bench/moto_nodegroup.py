"""moto's server with one EKS node group in it. Run by the Python that has moto: PORT."""

from __future__ import annotations

import sys

import boto3
from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
    server.start()
    eks = boto3.client(
        "eks",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{sys.argv[1]}",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    eks.create_cluster(
        name="c",
        roleArn="arn:aws:iam::123456789012:role/r",
        resourcesVpcConfig={"subnetIds": ["subnet-1"]},
    )
    eks.create_nodegroup(
        clusterName="c",
        nodegroupName="n",
        subnets=["subnet-1"],
        nodeRole="arn:aws:iam::123456789012:role/r",
        instanceTypes=["p3.2xlarge"],
    )
    print("ready", flush=True)
    sys.stdin.read()
