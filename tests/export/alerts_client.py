# SPDX-License-Identifier: Apache-2.0
"""alerts_client - a stock gRPC client of alerts, for the tests: knows no message but what reflection tells it.

    alerts_client.py ADDRESS METHOD [JSON of the request] [how many] [seconds]

Prints one line a message, or the status with which the call ended. TOKEN in the environment is sent along.
"""
import json
import sys

import grpc

from client import Export


def show(alert):
    if alert.lost and not alert.id:
        print("lost", alert.lost, flush=True)
        return
    whole = json.loads(alert.json)
    print(alert.id[:8], alert.rule, alert.Severity.Name(alert.severity), alert.State.Name(alert.state), alert.folded,
          alert.who or "-", alert.comment or "-", whole["shrike"]["alert"]["state"], whole["event"]["kind"], flush=True)


def main():
    address, method = sys.argv[1:3]
    request = sys.argv[3] if len(sys.argv) > 3 else "{}"
    limit = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    options = {"timeout": float(sys.argv[5])} if len(sys.argv) > 5 else {}
    alerts = Export(grpc.insecure_channel(address), "shrike.v1.Alerts")
    answer = alerts.call(method, request, **options)
    if method == "StreamAlerts":
        for alert in answer:
            show(alert)
            limit -= 1
            if not limit:
                answer.cancel()
                return
    elif method == "ListAlerts":
        for alert in answer.alerts:
            show(alert)
        print("more", answer.more, "cursor", answer.cursor)
    else:
        show(answer)


try:
    main()
except grpc.RpcError as e:
    print(e.code().name, "|", e.details())
