// Decentlab sensors: version 2, device id, a word of flags, then one group of 16-bit words for each flag that is set.
// The groups differ by model, which is the tag `model` of the device (`variables.model`), for example DL-SHT35.

const signed = (w) => w - 32768;
const tenth = (w) => signed(w) / 10;
const hundredth = (w) => signed(w) / 100;
const wide = (low, high) => low + high * 65536;
const bridge = (low, high) => wide(low, high) / 8388608 - 1;
const shtTemperature = (w) => 175 * w / 65535 - 45;
const shtHumidity = (w) => 100 * w / 65535;
// The older of the two humidity sensors.
const sht2 = [2, (w) => ({ air_temperature: 175.72 * w[0] / 65536 - 46.85, air_humidity: 125 * w[1] / 65536 - 6 })];
const celsius10 = (w) => (w - 1000) / 10;

// A group: how many words, and what they mean.
const battery = [1, (w) => ({ battery_voltage: w[0] / 1000 })];
const air = [2, (w) => ({ air_temperature: shtTemperature(w[0]), air_humidity: shtHumidity(w[1]) })];
const pressure = [1, (w) => ({ barometric_pressure: w[0] * 2 })];
const pulses = (prefix) => [4, (w) => ({
  [prefix + "pulse_count"]: w[0], [prefix + "pulse_interval"]: w[1], [prefix + "cumulative_pulse_count"]: wide(w[2], w[3]),
})];
const wind = (speed, direction, gust, temperature) => ({
  wind_speed: hundredth(speed), wind_direction: tenth(direction), maximum_wind_speed: hundredth(gust), air_temperature: tenth(temperature),
});

const MODELS = {
  "DL-5TM": [[2, (w) => {
    const e = w[0] / 50;
    // Topp's equation for mineral soil.
    const water = 4.3e-6 * e ** 3 - 5.5e-4 * e ** 2 + 2.92e-2 * e - 5.3e-2;
    return { dielectric_permittivity: e, volumetric_water_content: water, soil_temperature: (w[1] - 400) / 10 };
  }], battery],
  "DL-ATM22": [[8, (w) => ({
    ...wind(w[0], w[1], w[2], w[3]), x_orientation_angle: tenth(w[4]), y_orientation_angle: tenth(w[5]),
    north_wind_speed: hundredth(w[6]), east_wind_speed: hundredth(w[7]),
  })], battery],
  "DL-ATM41": [[17, (w) => ({
    solar_radiation: signed(w[0]), precipitation: signed(w[1]) / 1000, lightning_strike_count: signed(w[2]),
    lightning_average_distance: signed(w[3]), ...wind(w[4], w[5], w[6], w[7]), vapor_pressure: hundredth(w[8]),
    atmospheric_pressure: hundredth(w[9]), relative_humidity: tenth(w[10]), sensor_temperature_internal: tenth(w[11]),
    x_orientation_angle: tenth(w[12]), y_orientation_angle: tenth(w[13]), compass_heading: signed(w[14]),
    north_wind_speed: hundredth(w[15]), east_wind_speed: hundredth(w[16]),
  })], battery],
  "DL-CTD10": [[4, (w) => ({ water_depth: signed(w[0]), temperature: tenth(w[1]), electrical_conductivity: w[2], freezing_flag: w[3] })], battery],
  "DL-CWS": [[6, (w) => ({
    surface_temperature: hundredth(w[0]), air_temperature: hundredth(w[1]), air_humidity: hundredth(w[2]), dew_point: hundredth(w[3]),
    angle: signed(w[4]), sensor_temperature: hundredth(w[5]),
  })], battery],
  "DL-DLR2-002": [pulses(""), battery],
  "DL-DLR2-003": [[1, (w) => ({ input: w[0] })], battery],
  "DL-DLR2-005": [[2, (w) => ({ voltage: bridge(w[0], w[1]) * 3 })], battery],
  "DL-DLR2-006": [[2, (w) => ({ potentiometer_position: bridge(w[0], w[1]) })], battery],
  "DL-DLR2-010": [pulses("ch0_"), pulses("ch1_"), battery],
  "DL-DS18": [[1, (w) => ({ temperature: signed(w[0]) / 16 })], battery],
  "DL-IAM": [battery, air, pressure, [2, (w) => ({
    ambient_light_visible_infrared: w[0], ambient_light_infrared: w[1],
    illuminance: Math.max(Math.max(w[0] - 1.64 * w[1], 0.59 * w[0] - 0.86 * w[1]), 0) * 1.5504,
  })], [3, (w) => ({ co2_concentration: signed(w[0]), co2_sensor_status: w[1], raw_ir_reading: w[2] })],
  [1, (w) => ({ activity_counter: w[0] })], [1, (w) => ({ total_voc: w[0] })]],
  "DL-ITST": [[2, (w) => ({ temperature_target: celsius10(w[0]), temperature_head: celsius10(w[1]) })], battery],
  "DL-LID": [[11, (w) => ({
    distance_average: w[0], distance_minimum: w[1], distance_maximum: w[2], distance_median: w[3], distance_10th_percentile: w[4],
    distance_25th_percentile: w[5], distance_75th_percentile: w[6], distance_90th_percentile: w[7], distance_most_frequent_value: w[8],
    number_of_samples: w[9], total_acquisition_time: w[10] * 1000 / 1024,
  })], battery],
  "DL-LP8P": [sht2, [2, (w) => ({ barometer_temperature: (w[0] - 5000) / 100, barometric_pressure: w[1] * 2 })], [8, (w) => ({
    co2_concentration: signed(w[0]), co2_concentration_lpf: signed(w[1]), co2_sensor_temperature: hundredth(w[2]),
    capacitor_voltage_1: w[3] / 1000, capacitor_voltage_2: w[4] / 1000, co2_sensor_status: w[5], raw_ir_reading: w[6], raw_ir_reading_lpf: w[7],
  })], battery],
  "DL-LWS": [[2, (w) => ({ leaf_wetness_index: bridge(w[0], w[1]) })], battery],
  "DL-MBX": [[2, (w) => ({ distance: w[0], number_of_valid_samples: w[1] })], battery],
  "DL-NTU": [[5, (w) => ({
    status: w[0], temperature: hundredth(w[1]), turbidity_in_ntu: w[2] / 10, turbidity_in_fnu: w[3] / 10, turbidity_in_mg_l: w[4] / 10,
  })], battery],
  "DL-OPTOD": [[5, (w) => ({
    status: w[0], temperature: hundredth(w[1]), oxygen_saturation: hundredth(w[2]), oxygen_concentration: hundredth(w[3]),
    oxygen_concentration_alt: hundredth(w[4]),
  })], battery],
  "DL-PAR": [[1, (w) => ({ photosynthetically_active_radiation: signed(w[0]) / 32768 * 15000 })], battery],
  "DL-PM": [battery, [10, (w) => ({
    pm1_0_mass_concentration: w[0] / 10, pm2_5_mass_concentration: w[1] / 10, pm4_mass_concentration: w[2] / 10, pm10_mass_concentration: w[3] / 10,
    typical_particle_size: w[4], pm0_5_number_concentration: w[5] / 10, pm1_0_number_concentration: w[6] / 10,
    pm2_5_number_concentration: w[7] / 10, pm4_number_concentration: w[8] / 10, pm10_number_concentration: w[9] / 10,
  })], sht2, pressure],
  "DL-PR26": [[2, (w) => ({ pressure: (w[0] - 16384) / 32768, temperature: (w[1] - 384) * 0.003125 - 50 })], battery],
  "DL-PR36": [[2, (w) => ({ pressure: signed(w[0]) / 8192, temperature: signed(w[1]) / 256 })], battery],
  "DL-PYR": [[1, (w) => ({ total_solar_radiation: signed(w[0]) / 32768 * 15000 })], battery],
  "DL-RHC": [[4, (w) => ({ sensor_id: wide(w[0], w[1]), air_humidity: w[2] / 100, air_temperature: hundredth(w[3]) })], battery],
  "DL-SHT35": [air, battery],
  "DL-SMTP": [[16, (w) => {
    const out = {};
    for (let i = 0; i < 8; i++) {
      out["soil_moisture_at_depth_" + i] = (w[2 * i] - 2500) / 500;
      out["soil_temperature_at_depth_" + i] = hundredth(w[2 * i + 1]);
    }
    return out;
  }], battery],
  "DL-TBRG": [[4, (w) => ({ precipitation: w[0] * 0.1, precipitation_interval: w[1], cumulative_precipitation: wide(w[2], w[3]) * 0.1 })], battery],
  "DL-TRS12": [[3, (w) => {
    const raw = w[0] / 10;
    return {
      dielectric_permittivity: (2.887e-9 * raw ** 3 - 2.08e-5 * raw ** 2 + 5.276e-2 * raw - 43.39) ** 2,
      volumetric_water_content: raw * 3.879e-4 - 0.6956, soil_temperature: tenth(w[1]), electrical_conductivity: w[2],
    };
  }], battery],
  "DL-WRM": [air, [2, (w) => ({ surface_temperature: celsius10(w[0]), head_temperature: celsius10(w[1]) })], battery],
};

function decodeUplink(input) {
  const bytes = input.bytes;
  const groups = MODELS[input.variables.model];
  if (!groups) return { errors: ["tag the device with its model, one of " + Object.keys(MODELS).join(", ")] };
  if (bytes.length < 5 || bytes[0] !== 2) return { errors: ["protocol version 2 and a header of 5 bytes are expected"] };
  const word = (i) => bytes[i] * 256 + bytes[i + 1];
  const data = { protocol_version: 2, device_id: word(1) };
  const flags = word(3);
  let at = 5;
  for (let i = 0; i < groups.length; i++) {
    if ((flags >> i & 1) === 0) continue;
    const [n, read] = groups[i];
    if (at + 2 * n > bytes.length) return { errors: ["group " + i + " is cut off at byte " + bytes.length] };
    const words = [];
    for (let k = 0; k < n; k++) words.push(word(at + 2 * k));
    Object.assign(data, read(words));
    at += 2 * n;
  }
  const warnings = at < bytes.length ? [bytes.length - at + " bytes are left over: is the model right?"] : [];
  return { data, warnings };
}
