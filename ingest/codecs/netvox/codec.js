// Netvox sensors of four families: one or two contacts, climate, and particulate matter. Port 6 reports, port 7 configures.
// Reports: version 1, device, type (0 is the version of the device), then big-endian values. Eleven bytes always.

const contact = { report: [["status", 1, 1]], config: [["BatteryChange", 1, 10]] };
const contacts = { report: [["status1", 1, 1], ["status2", 1, 1]], config: [["BatteryChange", 1, 10]] };
const climate = {
  report: [["Temp", -2, 100], ["Humi", 2, 100]],
  config: [["BatteryChange", 1, 10], ["TempChange", 2, 100], ["HumiChange", 2, 100]],
};
const particles = { report: [["Temp", -2, 100], ["Humi", 2, 100], ["PM25", 2, 1]], config: [] };

const DEVICES = {
  1: ["R711(R712)", climate], 11: ["R718A", climate], 19: ["R718AB", climate], 110: ["R720A", climate],
  26: ["R718DA", contact], 27: ["R718DB", contact], 33: ["R718J", contact], 37: ["R718LB", contact], 39: ["R718MBA", contact],
  79: ["R311FA", contact], 91: ["R718Q", contact], 130: ["R730MBA", contact], 137: ["R730DA", contact], 139: ["R730DB", contact],
  141: ["R730LB", contact], 151: ["R718QA", contact], 168: ["R311DA", contact], 169: ["R311DB", contact], 183: ["R720F", contact],
  47: ["R718DA2", contacts], 61: ["R718DB2", contacts], 62: ["R718F2", contacts], 67: ["R718J2", contacts], 69: ["R718LB2", contacts],
  76: ["R311CA", contacts], 86: ["R311CB", contacts], 108: ["R311CC", contacts],
  53: ["RA0716", particles], 54: ["R72616", particles], 55: ["R72716", particles], 106: ["R72616A", particles],
};
const TIMES = [["MinTime", 2, 1], ["MaxTime", 2, 1]];
const CONFIG = { 1: "ConfigReportReq", 2: "ReadConfigReportReq", 129: "ConfigReportRsp", 130: "ReadConfigReportRsp" };

// Reads fields of [name, bytes, divisor]; a negative number of bytes is a signed value.
function read(bytes, at, fields, into) {
  for (const [name, width, divisor] of fields) {
    const n = Math.abs(width);
    let value = 0;
    for (let i = 0; i < n; i++) value = value * 256 + bytes[at++];
    if (width < 0 && value >= 2 ** (8 * n - 1)) value -= 2 ** (8 * n);
    into[name] = value / divisor;
  }
  return into;
}

function configuration(bytes, device, family) {
  const data = { Cmd: CONFIG[bytes[0]], Device: device };
  switch (bytes[0]) {
    case 1: case 130: read(bytes, 2, TIMES.concat(family.config), data); break;
    case 129: data.Status = bytes[2] === 0 ? "Success" : "Failure"; break;
    case 2: break;
    default: return { errors: ["command " + bytes[0] + " is not known"] };
  }
  return { data };
}

function decode(input, ports) {
  const { bytes, fPort } = input;
  if (!ports.includes(fPort)) return { errors: ["port " + fPort + " is not used by these devices"] };
  if (bytes.length !== 11) return { errors: ["11 bytes are expected, not " + bytes.length] };
  const known = DEVICES[bytes[1]];
  if (!known) return { errors: ["device type " + bytes[1] + " is not known"] };
  const [Device, family] = known;
  if (fPort === 7) return configuration(bytes, Device, family);
  if (bytes[2] === 0) {
    const date = bytes.slice(5, 9).map((b) => b.toString(16).padStart(2, "0")).join("");
    return { data: { Device, SWver: bytes[3] / 10, HWver: bytes[4], Datecode: date } };
  }
  const low = bytes[3] & 0x80;
  const data = read(bytes, 4, family.report, { Device, Volt: (bytes[3] & 0x7f) / 10 });
  return low ? { data, warnings: ["low battery"] } : { data };
}

function decodeUplink(input) {
  return decode(input, [6, 7]);
}

function decodeDownlink(input) {
  return decode(input, [7]);
}

function encodeDownlink(input) {
  const wanted = input.data;
  const id = Object.keys(DEVICES).find((id) => DEVICES[id][0] === wanted.Device);
  const command = [1, 2].find((c) => CONFIG[c] === wanted.Cmd);
  if (!id || !command) return { errors: ["Device or Cmd is not known"] };
  const bytes = [command, Number(id)];
  if (command === 1) {
    for (const [name, width, factor] of TIMES.concat(DEVICES[id][1].config)) {
      const value = Math.round(wanted[name] * factor);
      if (!(value >= 0 && value < 2 ** (8 * width))) return { errors: [name + " is absent or too large"] };
      if (width === 2) bytes.push(value >> 8);
      bytes.push(value & 255);
    }
  }
  while (bytes.length < 11) bytes.push(0);
  return { bytes, fPort: 7 };
}
