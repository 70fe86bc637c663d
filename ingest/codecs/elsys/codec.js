// ELSYS ERS, ESM and ELT sensors: type, value, again and again. Written as TTN v2 called codecs.

function Decoder(bytes, port) {
  var out = {};
  var i = 0;
  function u(n) {
    var value = 0;
    for (var k = 0; k < n; k++) {
      if (i >= bytes.length) throw new Error("the value of the last type is cut off");
      value = value * 256 + bytes[i++];
    }
    return value;
  }
  function s(n) {
    var value = u(n);
    return value >= Math.pow(2, 8 * n - 1) ? value - Math.pow(2, 8 * n) : value;
  }
  while (i < bytes.length) {
    var type = u(1);
    switch (type) {
      case 0x01: out.temperature = s(2) / 10; break;
      case 0x02: out.humidity = u(1); break;
      case 0x03: out.x = s(1); out.y = s(1); out.z = s(1); break;
      case 0x04: out.light = u(2); break;
      case 0x05: out.motion = u(1); break;
      case 0x06: out.co2 = u(2); break;
      case 0x07: out.vdd = u(2); break;
      case 0x08: out.analog1 = u(2); break;
      case 0x09: out.lat = s(3) / 10000; out.long = s(3) / 10000; break;
      case 0x0a: out.pulse1 = u(2); break;
      case 0x0b: out.pulseAbs = u(4); break;
      case 0x0c: out.externalTemperature = s(2) / 10; break;
      case 0x0d: out.digital = u(1); break;
      case 0x0e: out.distance = u(2); break;
      case 0x0f: out.accMotion = u(1); break;
      case 0x10: out.irInternalTemperature = s(2) / 10; out.irExternalTemperature = s(2) / 10; break;
      case 0x11: out.occupancy = u(1); break;
      case 0x12: out.waterleak = u(1); break;
      case 0x14: out.pressure = u(4) / 1000; break;
      case 0x15: out.soundPeak = u(1); out.soundAvg = u(1); break;
      case 0x16: out.pulse2 = u(2); break;
      case 0x17: out.pulseAbs2 = u(4); break;
      case 0x18: out.analog2 = u(2); break;
      case 0x19: out.externalTemperature2 = s(2) / 10; break;
      case 0x1a: out.digital2 = u(1); break;
      case 0x1b: out.analogUv = s(4); break;
      case 0x1c: out.tvoc = u(2); break;
      default: throw new Error("type " + type + " is not known");
    }
  }
  return out;
}
