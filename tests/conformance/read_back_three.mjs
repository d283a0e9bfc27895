/*
Opens animated GLBs with three.js and plays MP4s, in a headless Chromium that draws without a GPU.

Usage:
    npm install --prefix FOLDER three playwright-core
    NODE_PATH=FOLDER/node_modules node tests/conformance/read_back_three.mjs FILE [SHOT.png [TIME_S]]

Of a GLB: the loader and the renderer must warn of nothing; morph targets must have the names and offsets of the file;
at each key of the last animation and half-way between keys, weights, turns and places must be what this script itself
reads from the file. SHOT shows time TIME_S (by default the middle) through the file's camera, and beside it from the
front, as viewers do that choose the view themselves. Of an MP4: length, size, whether a picture came up at TIME_S and
whether sound was decoded; a browser without the codec is told, and is no failure.

CHROMIUM names the browser where it is not /usr/bin/chromium. Prints one line. Exit codes: 0 all is as it should be, 1
something is not, 2 wrong usage or missing packages.
*/
import { createRequire } from "node:module";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import process from "node:process";

const ORIGIN = "http://read.back/"; // no server: the browser's requests are answered below
const PAGE = `<!doctype html><script type="importmap">
  {"imports": {"three": "${ORIGIN}three/build/three.module.js", "three/addons/": "${ORIGIN}three/examples/jsm/"}}
</script><body style="margin:0;background:#444">`;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--use-gl=angle",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--autoplay-policy=no-user-gesture-required",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const PATIENCE_MS = 120000; // drawing without a GPU on a busy machine takes its time
const MOST_WEIGHT = 1e-5;
const MOST_POSE = 1e-5;
const MOST_OFFSET_M = 1e-7;
const LEAST_SPREAD = 5; // of grey values; a blank picture has none
const KINDS = { ".js": "text/javascript", ".mjs": "text/javascript", ".glb": "model/gltf-binary", ".mp4": "video/mp4" };
const COMPONENTS = { 5121: Uint8Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 };

class ReadBackError extends Error {}

function expect(fulfilled, otherwise) {
  if (!fulfilled) throw new ReadBackError(otherwise);
}

/* A GLB as the specification has it: JSON, one binary chunk, accessors of which some are sparse. */
class Glb {
  constructor(path) {
    const content = readFileSync(path);
    expect(content.readUInt32LE(0) === 0x46546c67 && content.readUInt32LE(4) === 2, "is no GLB of version 2");
    const size = content.readUInt32LE(12);
    this.json = JSON.parse(content.subarray(20, 20 + size).toString("utf8"));
    this.blob = content.subarray(28 + size);
  }

  numbers(index) {
    const { bufferView, byteOffset, componentType, count, type, sparse } = this.json.accessors[index];
    const length = count * WIDTHS[type];
    const values = new Float64Array(length);
    if (bufferView !== undefined) values.set(this.slice(bufferView, byteOffset, componentType, length));
    if (sparse) {
      const { indices, values: given, count: rows } = sparse;
      const width = WIDTHS[type];
      const at = this.slice(indices.bufferView, indices.byteOffset, indices.componentType, rows);
      const put = this.slice(given.bufferView, given.byteOffset, componentType, rows * width);
      at.forEach((row, k) => values.set(put.subarray(k * width, (k + 1) * width), row * width));
    }
    return values;
  }

  slice(view, offset, componentType, length) {
    const { byteOffset, byteStride } = this.json.bufferViews[view];
    expect(byteStride === undefined, "interleaved data are not read here");
    const Type = COMPONENTS[componentType];
    const start = (byteOffset ?? 0) + (offset ?? 0);
    return new Type(Uint8Array.from(this.blob.subarray(start, start + length * Type.BYTES_PER_ELEMENT)).buffer);
  }

  /* Channels of the last animation: node, property, and the values (numbers a key) at keys and half-way. */
  channels() {
    const animation = this.json.animations?.at(-1);
    expect(animation, "has no animation");
    return animation.channels.map(({ sampler, target }) => {
      const { input, output, interpolation } = animation.samplers[sampler];
      expect((interpolation ?? "LINEAR") === "LINEAR", `${interpolation} is not read here`);
      const keys = [...this.numbers(input)];
      const values = this.numbers(output);
      const width = values.length / keys.length;
      const rows = keys.map((_, k) => [...values.subarray(k * width, (k + 1) * width)]);
      const between = rows.slice(1).map((row, k) => halfway(rows[k], row, target.path === "rotation"));
      const middles = keys.slice(1).map((time, k) => (keys[k] + time) / 2);
      return { ...target, duration: keys.at(-1), times: [...keys, ...middles], values: [...rows, ...between] };
    });
  }
}

/* Half-way between two keys; half of a turn is the sum of two quaternions made a unit again. */
function halfway(a, b, isTurn) {
  const sum = a.map((value, k) => value + b[k]);
  return sum.map((value) => value / (isTurn ? Math.hypot(...sum) : 2));
}

function largestDifference(a, b) {
  expect(a.length === b.length, `${a.length} numbers where there are ${b.length}`);
  return a.reduce((most, value, k) => Math.max(most, Math.abs(value - b[k])), 0);
}

/* In the page: load the file, keep it, and tell what the loader made of the morph targets. */
async function load(url) {
  const THREE = await import("three");
  const { GLTFLoader } = await import("three/addons/loaders/GLTFLoader.js");
  const gltf = await new GLTFLoader().loadAsync(url);
  const nodes = await Promise.all((gltf.parser.json.nodes ?? []).map((_, n) => gltf.parser.getDependency("node", n)));
  const partsOf = (node) => (node.isMesh ? [node] : node.children.filter((child) => child.isMesh));
  const parts = gltf.parser.json.nodes.map((node, n) => (node.mesh === undefined ? [] : partsOf(nodes[n])));
  window.loaded = { THREE, gltf, nodes, parts };
  return {
    revision: THREE.REVISION,
    cameras: gltf.cameras.length,
    clips: gltf.animations.map(({ name, duration }) => ({ name, duration })),
    parts: parts.map((meshes) =>
      meshes.map((mesh) => ({
        names: Object.keys(mesh.morphTargetDictionary ?? {}),
        offsets: (mesh.geometry.morphAttributes.position ?? []).map((attribute) => [...attribute.array]),
      })),
    ),
  };
}

/* In the page: play the last animation and return what each channel's node shows at its times. */
function play(channels) {
  const { THREE, gltf, nodes, parts } = window.loaded;
  const mixer = new THREE.AnimationMixer(gltf.scene);
  const action = mixer.clipAction(gltf.animations.at(-1));
  action.setLoop(THREE.LoopOnce);
  action.clampWhenFinished = true;
  window.showTime = (time) => {
    action.reset().play();
    mixer.setTime(time);
  };
  const shown = ({ node, path }) => {
    if (path === "weights") return parts[node].map((mesh) => [...mesh.morphTargetInfluences]);
    return [nodes[node][{ rotation: "quaternion", translation: "position", scale: "scale" }[path]].toArray()];
  };
  return channels.map((channel) =>
    channel.times.map((time) => {
      window.showTime(time);
      return shown(channel);
    }),
  );
}

/* In the page: draw a time through the file's camera, and from the front; returns a PNG. */
async function draw(time) {
  const { THREE, gltf } = window.loaded;
  window.showTime(time);
  const [width, height] = [640, 480];
  const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  renderer.setSize(2 * width, height);
  renderer.setScissorTest(true);
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0x555555);
  const sun = new THREE.DirectionalLight(0xffffff, 2);
  sun.position.set(0.5, 0.7, 1);
  scene.add(gltf.scene, new THREE.HemisphereLight(0xffffff, 0x777777, 1.5), sun);
  scene.updateMatrixWorld(true);
  const box = new THREE.Box3().setFromObject(gltf.scene, true);
  const middle = box.getCenter(new THREE.Vector3());
  const front = new THREE.PerspectiveCamera(30, width / height, 0.01, 100);
  front.position.copy(middle).add(new THREE.Vector3(0, 0, 2 * box.getSize(new THREE.Vector3()).length()));
  const own = gltf.cameras[0] ?? front;
  [own, front].forEach((camera, k) => {
    renderer.setViewport(k * width, 0, width, height);
    renderer.setScissor(k * width, 0, width, height);
    renderer.render(scene, camera);
  });
  return renderer.domElement.toDataURL("image/png");
}

/* In the page: play a video for a moment, stop at a time, and return what was seen. */
async function watch([url, time]) {
  const video = document.createElement("video");
  const once = (name) =>
    new Promise((resolve, reject) => {
      video.addEventListener(name, resolve, { once: true });
      video.addEventListener("error", () => reject(new Error(video.error?.message || "cannot be played")), { once: true });
    });
  const content = await (await fetch(url)).blob();
  const ready = once("loadeddata");
  video.src = URL.createObjectURL(content); // a blob can be searched, which an answered request cannot
  try {
    await ready;
  } catch (error) {
    return { reason: error.message, canPlay: video.canPlayType('video/mp4; codecs="avc1.64001f"') };
  }
  const playing = once("playing");
  await video.play();
  await playing;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  video.pause();
  const sought = once("seeked");
  video.currentTime = time ?? video.duration / 2;
  await sought;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const grey = Array.from({ length: data.length / 4 }, (_, k) => (data[4 * k] + data[4 * k + 1] + data[4 * k + 2]) / 3);
  const mean = grey.reduce((sum, value) => sum + value, 0) / grey.length;
  return {
    duration: video.duration,
    size: [video.videoWidth, video.videoHeight],
    spread: Math.sqrt(grey.reduce((sum, value) => sum + (value - mean) ** 2, 0) / grey.length),
    soundBytes: video.webkitAudioDecodedByteCount,
    png: canvas.toDataURL("image/png"),
  };
}

/* Compare the targets of every mesh with the file; returns how many there are and the largest difference. */
function compareTargets(glb, found) {
  const counts = new Set();
  let most = 0;
  glb.json.nodes.forEach(({ mesh }, n) => {
    if (mesh === undefined) return;
    const { primitives, extras } = glb.json.meshes[mesh];
    expect(found.parts[n].length === primitives.length, `${found.parts[n].length} of ${primitives.length} parts`);
    primitives.forEach(({ targets = [] }, k) => {
      const { names, offsets } = found.parts[n][k];
      if (!targets.length) return;
      counts.add(targets.length);
      expect(names.join() === (extras?.targetNames ?? []).join(), `targets are named ${names}`);
      targets.forEach(({ POSITION }, t) => {
        most = Math.max(most, largestDifference(offsets[t], glb.numbers(POSITION)));
      });
    });
  });
  expect(counts.size, "has no morph targets");
  expect(most <= MOST_OFFSET_M, `offsets of morph targets are ${most} m off`);
  return { count: [...counts].join("/"), most };
}

/* Compare what was shown with the file; returns the largest differences by property. */
function compareMotion(channels, shown) {
  const most = {};
  channels.forEach(({ path, values }, c) => {
    expect(shown[c][0].length, "weights are animated on a node without a mesh");
    values.forEach((row, k) => {
      for (const found of shown[c][k]) most[path] = Math.max(most[path] ?? 0, largestDifference(found, row));
    });
  });
  for (const [path, value] of Object.entries(most)) {
    expect(value <= (path === "weights" ? MOST_WEIGHT : MOST_POSE), `${path} ${value} off`);
  }
  return most;
}

async function readGlb(page, path, shot, time, warnings) {
  const glb = new Glb(path);
  const found = await page.evaluate(load, ORIGIN + "file.glb");
  const targets = compareTargets(glb, found);
  const channels = glb.channels();
  const clip = found.clips.at(-1);
  const duration = Math.max(...channels.map((channel) => channel.duration));
  expect(Math.abs(clip.duration - duration) < 1e-4, `lasts ${clip.duration} s, by its keys ${duration} s`);
  const most = compareMotion(channels, await page.evaluate(play, channels));
  if (shot) savePng(shot, await page.evaluate(draw, time ?? duration / 2));
  expect(!warnings.length, `three.js warns: ${warnings.join("; ")}`);
  const off = Object.entries(most).map(([name, value]) => `${name} ${value.toExponential(1)}`);
  return (
    `three.js r${found.revision}: no warnings, ${targets.count} morph targets, animation ${clip.name} of ` +
    `${clip.duration.toFixed(2)} s; largest differences at ${channels[0].times.length} times: ${off.join(", ")}`
  );
}

async function readVideo(page, path, shot, time) {
  const seen = await page.evaluate(watch, [ORIGIN + "file.mp4", time]);
  if (seen.reason !== undefined) {
    expect(!seen.canPlay, `cannot be played: ${seen.reason}`);
    return "not played: this browser has no H.264";
  }
  expect(seen.spread > LEAST_SPREAD, "no picture came up");
  if (shot) savePng(shot, seen.png);
  const sound = seen.soundBytes > 0 ? "sound" : "no sound";
  return `played: ${seen.duration.toFixed(2)} s, ${seen.size.join("x")}, a picture came up, ${sound}`;
}

function savePng(path, url) {
  writeFileSync(path, Buffer.from(url.split(",")[1], "base64"));
}

/* Answer the page's requests with the file that is read and with the modules of three.js. */
function answerWith(file, modules) {
  return (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    if (name === "") return route.fulfill({ contentType: "text/html", body: PAGE });
    if (name === "favicon.ico") return route.fulfill({ status: 204 });
    const path = name.startsWith("file.") ? file : join(modules, name.replace("three/", ""));
    return route.fulfill({ contentType: KINDS[extname(name)], body: readFileSync(path) });
  };
}

function packages() {
  const require = createRequire(import.meta.url);
  try {
    const three = dirname(dirname(require.resolve("three"))); // its folder: build/three.cjs is what is found
    return { three, chromium: require("playwright-core").chromium };
  } catch {
    console.error("three or playwright-core is missing: npm install three playwright-core, then set NODE_PATH");
    process.exit(2);
  }
}

const [file, shot, time] = process.argv.slice(2);
if (![".glb", ".mp4"].includes(extname(file ?? "")) || !existsSync(file)) {
  console.error("usage: node read_back_three.mjs FILE.glb|FILE.mp4 [SHOT.png [TIME_S]], of a file that is there");
  process.exit(2);
}
const { three, chromium } = packages();
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: FLAGS, timeout: PATIENCE_MS });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const warnings = [];
  page.on("console", (message) => {
    // What the driver says of its own speed is not about the file.
    const isDrivers = message.text().includes("GL Driver Message");
    if (["warning", "error"].includes(message.type()) && !isDrivers) warnings.push(message.text());
  });
  page.on("pageerror", (error) => warnings.push(String(error)));
  await page.route(`${ORIGIN}**`, answerWith(file, three));
  await page.goto(ORIGIN);
  const read = extname(file) === ".glb" ? readGlb : readVideo;
  console.log(`${basename(file)}: ${await read(page, file, shot, time && Number(time), warnings)}`);
} catch (error) {
  console.log(`${basename(file)}: FAILED: ${error instanceof ReadBackError ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
