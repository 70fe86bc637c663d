"""Writes seeds of every target from the fixtures (PORTICO_SHARED), the examples and the contracts: seed.py <directory>.

A seed is what lib.rs reads: a byte that chooses, mostly one for the topic, and messages. Each fixture goes to every choice that may
mean it, so that no list is kept twice; libFuzzer drops what adds nothing."""

import gzip
import hashlib
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHARED = pathlib.Path(os.environ.get("PORTICO_SHARED", ROOT.parent / "shared")) / "data"
SEPARATOR = b"\n\0\n"
OUT = pathlib.Path(sys.argv[1])
BYTES_MAX = 60_000


def put(target, *parts):
    data = b"".join(bytes([p]) if isinstance(p, int) else p for p in parts)[:BYTES_MAX]
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def files(folder, *endings):
    return sorted(p for p in (SHARED / folder).glob("*") if p.is_file() and (not endings or p.name.endswith(endings)))


def payload(path):
    """The message of a fixture, which some wrap as {"topic", "payload"}."""
    data = path.read_bytes()
    try:
        value = json.loads(data)
    except ValueError:
        return data
    inner = value.get("payload") if isinstance(value, dict) else None
    return json.dumps(inner).encode() if isinstance(inner, (dict, list)) else data


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(tag, value):
    """A field of a protobuf message, by the type of the value."""
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    if isinstance(value, float):
        import struct

        return varint(tag << 3 | 1) + struct.pack("<d", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | 2) + varint(len(value)) + value


def snappy(data):
    """Literals only, which is a valid stream."""
    out = varint(len(data))
    for at in range(0, len(data), 60):
        piece = data[at : at + 60]
        out += bytes([(len(piece) - 1) << 2]) + piece
    return out


def lorawan():
    for path in files("fixtures/gwmp"):
        put("lorawan", 0, path.read_bytes())
    for path in files("fixtures/basics_station"):
        put("lorawan", 1, path.read_bytes())
    texts = (SHARED / "fixtures/lorawan_phy/vectors.json").read_text()
    for word in texts.replace('"', " ").split():
        if len(word) > 20 and all(c in "0123456789abcdefABCDEF" for c in word) and len(word) % 2 == 0:
            put("lorawan", 2, bytes.fromhex(word))
            put("lorawan", 3, bytes.fromhex(word))
    header = bytes.fromhex("40" + "04030201" + "00" + "0100")
    put("lorawan", 3, header + b"\x03\x41\x42\x43" + bytes(4))
    put("lorawan", 3, bytes.fromhex("80040302018200000305") + b"\x02\x01" + bytes(4))
    put("lorawan", 3, b"\0" + b"\x01" * 8 + b"\x02" * 8 + b"\x05\0" + bytes(4))


def envelopes():
    rows = [json.loads(line) for line in (SHARED / "lorawan/lns_envelopes.jsonl").read_text().splitlines()]
    rows = [r for r in rows if r.get("direction") == "uplink"]
    for i, row in enumerate(rows):
        body = json.dumps(row["payload"]).encode()
        for choice in range(7) if i % 20 == 0 else [0]:
            put("envelopes", choice, i % 6, body)
        if i % 10 == 0:
            put("envelopes", 0xFF, i % 6, body)
            put("envelopes", 0xFE, i % 6, body)
    for path in files("fixtures/chirpstack_v4") + files("fixtures/tts_v3"):
        for choice in (0, 1, 4):
            for topic in range(6):
                put("envelopes", choice, topic, payload(path))
    info = field(1, "52f14cd4-c6f1-4fbd-8f87-4025e1d49242") + field(5, "bin") + field(7, "0101010101010101")
    rx = field(1, "0016c001ff10a235") + field(6, 2.5)
    up = field(1, "id") + field(2, field(1, 1_790_000_000)) + field(3, info) + field(7, 3) + field(8, 2) + field(10, b"\x01\x67\x00\xe1")
    for topic in range(6):
        put("envelopes", 2, topic, up + field(12, rx))
        put("envelopes", 0xFE, topic, json.dumps({"data": "AWcA4Q==", "fPort": 2, "fCnt": 1, "deviceInfo": {"devEui": "0101010101010101"}}).encode())


def conventions():
    samples = json.loads((SHARED / "fixtures/mqtt_conventions/samples.json").read_text())
    bodies = []
    for sample in samples:
        bodies.append(sample["payload_text"].encode() if "payload_text" in sample else json.dumps(sample.get("payload")).encode())
    bodies += [b'{"name":"car","nodes":{"engine":{"properties":{"temperature":{"datatype":"float","unit":"C"}}}}}', b"21.5", b"t|15|h|40#t|16"]
    bodies.append(b'{"Datastream":{"@iot.id":1},"phenomenonTime":"2026-01-01T00:00:00Z","result":3.5}')
    bodies.append(b'[{"Datastream":{"@iot.id":1},"components":["result"],"dataArray":[[1],[2]]}]')
    for body in bodies:
        for choice in range(8):
            for topic in range(12):
                put("conventions", choice, topic, body)
        for topic in range(8):
            put("conventions", 0xFF, topic, body)
    put("conventions", 3, 5, bodies[-5], SEPARATOR, b"21.5")
    metric = field(1, "level") + field(2, 1) + field(3, 1_790_000_000_000) + field(4, 10) + field(13, 1.5)
    birth = field(1, 1_790_000_000_000) + field(2, field(1, "bdSeq") + field(4, 8) + field(11, 0)) + field(2, metric) + field(3, 0)
    data = field(1, 1_790_000_000_001) + field(2, field(2, 1) + field(13, 2.5)) + field(3, 1)
    for topic in range(5):
        put("conventions", 7, topic, birth, SEPARATOR, data)


def metrics():
    label = lambda k, v: field(1, field(1, k) + field(2, v))
    series = label("__name__", "node_hwmon_temp_celsius") + label("chip", "a b,c=d") + field(2, field(1, 41.5) + field(2, 1_790_000_000_000))
    put("metrics", 0, snappy(field(1, series)))
    point = field(3, 1_790_000_000_000_000_000) + field(4, 41.5) + field(7, field(1, "room") + field(2, field(1, "hall")))
    metric = field(1, "room.humidity") + field(5, field(1, point))
    put("metrics", 1, field(1, field(2, field(2, metric))))
    gauge = {"gauge": {"dataPoints": [{"timeUnixNano": "1790000000000000000", "asDouble": 41.5, "attributes": [{"key": "room", "value": {"stringValue": "hall"}}]}]}}
    total = {"sum": {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": "1", "asInt": "4"}]}}
    histogram = {"histogram": {"aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": "1", "count": "4", "sum": 2, "bucketCounts": ["1", "3"], "explicitBounds": [5]}]}}
    for kind in (gauge, total, histogram):
        put("metrics", 2, json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "room.humidity", **kind}]}]}]}).encode())
    lines = b'weather,id=a temperature=21.5,humidity=40i,text="a \\"b\\" c",flag=t 1790000000\n# comment\nweather\\ x,a\\,b=c\\=d v=1u\n'
    put("metrics", 3, lines)
    flat = b'{"id":"a","observed_at":"2026-01-01T00:00:00Z","pm10":21.5,"lon":11.3,"lat":44.5}'
    for topic in range(7):
        for body in (lines, flat, b"[" + flat + b"," + flat + b"]", b'{"id":"a","observed_at":NaN}'):
            put("metrics", 4, topic, body)


def video():
    for folder in ("frigate", "axis", "deepstream", "onvif"):
        for path in files(f"fixtures/{folder}"):
            if path.suffix == ".xsd":
                continue
            body = payload(path)
            for choice in range(7):
                for topic in range(8):
                    put("video", choice, topic, body)
            marked = body.replace(b'"sub_label": null', b'"sub_label": "XYZZYPERSON"').replace(b"ABC123", b"XYZZYPERSON")
            put("video", 0, 0, marked)


def traffic():
    for path in files("datex2", ".xml") + files("fixtures/traffic_5t_torino"):
        for choice in (0, 1, 0xFF, 0xFE):
            put("traffic", *([choice, 0] if choice < 3 else [choice]), path.read_bytes())
    with gzip.open(SHARED / "datex2/ndw_trafficspeed.xml.gz") as f:
        head = f.read(20_000)
    for choice in ([0, 0], [0xFF], [0xFE]):
        put("traffic", *choice, head)
    header = field(1, "2.0") + field(3, 1_790_000_000)
    trip = field(1, "t1") + field(5, "r1")
    vehicle = field(1, trip) + field(2, field(1, b"")) + field(5, 1_790_000_000) + field(8, field(1, "bus"))
    update = field(1, trip) + field(2, field(1, 3) + field(2, field(1, 60)) + field(4, "stop"))
    alert = field(5, field(4, "r1")) + field(10, field(1, field(1, "Sciopero") + field(2, "it")))
    entity = lambda tag, body: field(2, field(1, "e1") + field(tag, body))
    put("traffic", 2, 2, field(1, header) + entity(3, update) + entity(4, vehicle) + entity(5, alert))


def broker():
    connect4 = bytes.fromhex("10160004") + b"MQTT\x04\xc2\x00\x3c\x00\x02gw\x00\x02us\x00\x02pw"
    connect4 = b"\x10" + bytes([len(connect4) - 2]) + connect4[2:]
    connect5 = b"\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x3c\x00\x02gw"
    connect5 = b"\x10" + bytes([len(connect5)]) + connect5
    publish4 = b"\x32\x0e\x00\x05a/b/c\x00\x01hello"
    publish5 = b"\x32\x14\x00\x05a/b/c\x00\x01\x05\x02\x00\x00\x00\x3chello"
    subscribe4, subscribe5 = b"\x82\x08\x00\x01\x00\x03a/#\x01", b"\x82\x09\x00\x01\x00\x00\x03a/#\x01"
    for parts in ([connect4, publish4, subscribe4, b"\xe0\x00"], [connect5, publish5, subscribe5, b"\xe0\x02\x04\x00"]):
        for version in (0, 1):
            put("broker", version, *parts)
            for part in parts:
                put("broker", version, part)
    put("broker", 0, b"\x40\x02\x00\x01\x50\x02\x00\x01\x62\x02\x00\x01\x70\x02\x00\x01\xc0\x00\xa2\x07\x00\x01\x00\x03a/#")


def csv_files():
    heads = []
    for path in sorted(SHARED.glob("bologna/**/*.csv")) + sorted(SHARED.glob("bologna/**/*.csv.gz")):
        if path.name.startswith("."):
            continue
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as f:
            heads.append(b"".join(f.readline() for _ in range(6)))
    for head in heads:
        for choice in range(5):
            put("files", choice, head)
    for mapping in sorted((ROOT / "ingest/mappings/files").glob("*.toml")):
        for head in heads[:6]:
            put("files", 0xFF, mapping.read_bytes(), SEPARATOR, head)
    put("files", 0, gzip.compress(heads[0], mtime=0))


def settings():
    kinds = {0: "ingest/mappings/*.toml", 1: "ingest/mappings/files/*.toml", 2: "ingest/cameras/*.toml", 4: "schemas/contracts/*.yaml"}
    for kind, pattern in kinds.items():
        for path in sorted(ROOT.glob(pattern)):
            put("settings", kind, path.read_bytes())
    devices = b"[[device]]\ndev_eui='0303030303030303'\ndev_addr='01020304'\nnwk_s_key='11111111111111111111111111111111'\napp_s_key='22222222222222222222222222222222'\n"
    put("settings", 3, devices)
    put("settings", 3, b"dev_eui,join_eui,app_key\n0202020202020202,0101010101010101,0102030405060708090a0b0c0d0e0f10\n")
    for path in sorted(ROOT.glob("ingest/codecs/**/examples.jsonl")):
        put("settings", 5, path.read_bytes())


def codec():
    for path in sorted(ROOT.glob("ingest/codecs/**/codec.js")):
        put("codec", 4, b"\x01\x67\x00\xe1", path.read_bytes())
    for source in (
        "function decodeUplink(input) { return { data: { t: input.bytes[0] / 2, port: input.fPort, at: String(input.recvTime) } }; }",
        "function Decoder(bytes, port) { return { hex: bytes.map(function (b) { return b.toString(16); }).join('') }; }",
        "module.exports.decodeUplink = (i) => { while (true) {} };",
        "export function decodeUplink(i) { return { data: new Array(1e6).fill({a: 1}) }; }",
        "function Decode(fPort, bytes, variables) { return eval('1') }",
    ):
        put("codec", 4, b"\x01\x67\x00\xe1", source.encode())


def suggest():
    for sample in (
        [{"device": "a7", "ts": "2026-01-01 10:00:00", "temperatura": 21.5, "umidita_pct": 40, "pm10": "12,5", "lat": 44.5, "lon": 11.3}] * 3,
        [{"id": "b-12", "time": 1_790_000_000, "values": [{"name": "level", "value": 1.2, "unit": "m"}], "battery_mV": 3300}],
        [{"deviceInfo": {"devEui": "0101010101010101"}, "object": {"fill": 80}, "time": "2026-01-01T00:00:00Z"}],
    ):
        for topic in range(4):
            put("suggest", topic, SEPARATOR.join(json.dumps(s).encode() for s in sample))
    put("suggest", 0, b"weather,id=a temperature=21.5 1790000000000000000")


for make in (lorawan, envelopes, conventions, metrics, video, traffic, broker, csv_files, settings, codec, suggest):
    make()
