"""Makes a key in a running moto server, and two users of it: one may make data keys, one may read
them back. From then on moto checks signatures and permissions. Prints what it made as JSON."""

import json
import ssl
import sys
import urllib.request

import boto3

endpoint, ca = sys.argv[1], sys.argv[2]
nobody = {
    "endpoint_url": endpoint,
    "verify": ca,
    "region_name": "eu-central-1",
    "aws_access_key_id": "nobody",
    "aws_secret_access_key": "nothing",
}
iam, kms = boto3.client("iam", **nobody), boto3.client("kms", **nobody)
made = {"key_arn": kms.create_key()["KeyMetadata"]["Arn"]}
made["other_arn"] = kms.create_key()["KeyMetadata"]["Arn"]
actions = {
    "capture": ["kms:GenerateDataKey"],
    "internal": ["kms:GenerateDataKey", "kms:Decrypt"],
    "stranger": ["kms:ListKeys"],
}
for name, allowed in actions.items():
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="key", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    made[name] = [key["AccessKeyId"], key["SecretAccessKey"]]
ask = urllib.request.Request(
    endpoint + "/moto-api/reset-auth",
    data=b"0",
    method="POST",
    headers={"Content-Type": "text/plain"},
)
urllib.request.urlopen(ask, context=ssl.create_default_context(cafile=ca))
print(json.dumps(made))
