// Emotions by the npm package @vladmandic/face-api, for benchmarks/recognition.py; runs in a folder of its own.
//
//     node face_api.cjs CROPS.bin N SIDE OUT.json
//
// CROPS.bin holds N crops of SIDE x SIDE x 3 bytes. WebAssembly backend, one thread.

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const load = createRequire(path.join(process.cwd(), "package.json"));
const tf = load("@tensorflow/tfjs");
const wasm = load("@tensorflow/tfjs-backend-wasm");
const folder = path.join(process.cwd(), "node_modules", "@vladmandic", "face-api");
const faceapi = load(path.join(folder, "dist", "face-api.node-wasm.js"));

const NAMES = {
  neutral: "neutral",
  happy: "happiness",
  sad: "sadness",
  angry: "anger",
  fearful: "fear",
  disgusted: "disgust",
  surprised: "surprise",
};

async function main(cropsPath, count, side, outPath) {
  wasm.setWasmPaths(path.join(process.cwd(), "node_modules", "@tensorflow", "tfjs-backend-wasm", "dist") + path.sep);
  wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  await faceapi.tf.setBackend("wasm");
  await faceapi.tf.ready();
  await faceapi.nets.faceExpressionNet.loadFromDisk(path.join(folder, "model"));
  const bytes = fs.readFileSync(cropsPath);
  const size = side * side * 3;
  const rows = [];
  let began = process.cpuUsage();
  for (let k = -1; k < count; k++) {
    if (k === 0) began = process.cpuUsage(); // the first call compiles
    const pixels = new Uint8Array(bytes.buffer, bytes.byteOffset + Math.max(k, 0) * size, size);
    const tensor = faceapi.tf.tensor3d(pixels, [side, side, 3], "int32");
    const found = await faceapi.nets.faceExpressionNet.predictExpressions(tensor);
    tensor.dispose();
    if (k >= 0) rows.push(Object.keys(NAMES).map((name) => found[name]));
  }
  const used = process.cpuUsage(began);
  const cost = (used.user + used.system) / 1000 / count;
  fs.writeFileSync(outPath, JSON.stringify({ names: Object.values(NAMES), probabilities: rows, cost_ms: cost }));
}

const [crops, count, side, out] = process.argv.slice(2);
main(crops, Number(count), Number(side), out).catch((error) => {
  console.error(error);
  process.exit(1);
});
