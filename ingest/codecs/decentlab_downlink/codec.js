// Commands to Decentlab sensors: a command word, a parameter word and CRC-16/ARC over both, on port 1.

const COMMANDS = [
  ["set period", 0x0001, true], ["set period + save", 0x0002, true], ["set adr off", 0x0007, false], ["reset", 0xfefe, false],
];

function crc(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
  }
  return crc;
}

function encodeDownlink(input) {
  const command = COMMANDS.find((c) => c[0] === input.data.command);
  if (!command) return { errors: ["unknown command"] };
  const parameter = command[2] ? Number(input.data.parameter) : 0;
  if (!(parameter >= 0 && parameter <= 65535)) return { errors: ["the parameter must be 0 to 65535"] };
  const bytes = [command[1] >> 8, command[1] & 255, parameter >> 8, parameter & 255];
  const check = crc(bytes);
  return { bytes: bytes.concat(check >> 8, check & 255), fPort: 1 };
}

function decodeDownlink(input) {
  const [a, b, c, d, e, f] = input.bytes;
  if (input.bytes.length !== 6 || crc([a, b, c, d]) !== e * 256 + f) return { errors: ["not a command: its check sum is wrong"] };
  const command = COMMANDS.find((known) => known[1] === a * 256 + b);
  if (!command) return { errors: ["unknown command"] };
  return { data: command[2] ? { command: command[0], parameter: c * 256 + d } : { command: command[0] } };
}
