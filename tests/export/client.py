# SPDX-License-Identifier: Apache-2.0
"""client - a stock gRPC client of the export, for the tests: knows no message but what reflection tells it.

    client.py ADDRESS CASE [JSON of the request] [how many]

Prints one line a message, or the status with which the call ended. TOKEN in the environment is sent along.
"""
import json
import os
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

SERVICE = "shrike.v1.EbpfExport"


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """The fields of a message that has only bytes and numbers."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 2:
            n, at = varint(data, at)
            yield tag >> 3, data[at:at + n]
            at += n
        else:
            value, at = varint(data, at)
            yield tag >> 3, value


def question(number, text):
    text = text.encode()
    return bytes([number << 3 | 2, len(text)]) + text


def reflect(channel, version, *questions):
    call = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                                 lambda b: b, lambda b: b)
    return [dict(fields(answer)) for answer in call(iter(questions))]


def services(channel, version):
    (answer,) = reflect(channel, version, question(7, ""))
    return [dict(fields(s))[1].decode() for _, s in fields(answer[6])]


class Export:
    def __init__(self, channel, service=SERVICE):
        self.channel = channel
        self.service = service
        (answer,) = reflect(channel, "v1", question(4, service))
        file = descriptor_pb2.FileDescriptorProto.FromString(dict(fields(answer[4]))[1])
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.Add(file)
        self.methods = {m.name: m for m in file.service[0].method}

    def message(self, name):
        factory = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(self.pool).GetPrototype
        return factory(self.pool.FindMessageTypeByName(name.lstrip(".")))

    def call(self, method, request, **options):
        if os.environ.get("TOKEN"):
            options["metadata"] = [("authorization", "Bearer " + os.environ["TOKEN"])]
        m = self.methods[method]
        make = self.channel.unary_stream if m.server_streaming else self.channel.unary_unary
        return make(f"/{self.service}/{method}", lambda r: r.SerializeToString(), self.message(m.output_type).FromString)(
            json_format.ParseDict(json.loads(request), self.message(m.input_type)()), **options)


def events(call, limit):
    for message in call:
        for event in [message] if hasattr(message, "cursor") else message.events:
            yield event
            limit -= 1
            if not limit:
                call.cancel()
                return


def show(event):
    kind = event.WhichOneof("event")
    print(kind or "-", event.process_pid, event.process_name or "-", event.lost, event.sampled, flush=True)


def main():
    address, case = sys.argv[1:3]
    request = sys.argv[3] if len(sys.argv) > 3 else "{}"
    limit = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    channel = grpc.insecure_channel(address)
    if case == "services":
        for version in "v1", "v1alpha":
            print(version, *services(channel, version))
        print(*(dict(fields(a[7]))[1] for a in reflect(channel, "v1", question(4, "no.such.Name"), question(3, "x"))))
        return
    if case == "health":
        check = channel.unary_unary("/grpc.health.v1.Health/Check", lambda b: b, lambda b: b)
        print(check(b"").hex(), check(question(1, SERVICE)).hex())
        print(next(iter(channel.unary_stream("/grpc.health.v1.Health/Watch", lambda b: b, lambda b: b)(
            question(1, "nobody")))).hex())
        check(question(1, "nobody"))
        return
    if case == "raw":
        method, body = request.split()
        print(channel.unary_unary(method, lambda b: b, lambda b: b)(bytes.fromhex(body)).hex())
        return
    export = Export(channel)
    options = {}
    if case.endswith("-deadline"):
        case = case[:-len("-deadline")]
        options["timeout"] = 1.0
    if case.endswith("-gzip"):
        case = case[:-len("-gzip")]
        options["compression"] = grpc.Compression.Gzip
    if case == "stream":
        for event in events(export.call("StreamRawEvents", request, **options), limit):
            show(event)
    elif case == "batches":
        for event in events(export.call("StreamRawEventBatches", request, **options), limit):
            show(event)
    elif case == "resume":
        first = list(events(export.call("StreamRawEvents", request), limit))
        again = json.loads(request)
        again["cursor"] = str(first[limit // 2].cursor)
        for event in events(export.call("StreamRawEvents", json.dumps(again)), limit - limit // 2 - 1):
            show(event)
    elif case == "query":
        answer = export.call("QueryRawEvents", request, **options)
        for event in answer.events:
            show(event)
        print("count", answer.count, "more", answer.more)
        if answer.more and limit:
            again = json.loads(request)
            again["cursor"] = answer.cursor
            for event in export.call("QueryRawEvents", json.dumps(again)).events:
                show(event)
    elif case == "metrics":
        m = export.call("GetRingMetrics", request)
        print("records", m.records, *(f"{k.type}={k.records}" for k in m.kinds))
        print("readers", len(m.readers))


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as e:
        print(e.code().name, "|", e.details())
