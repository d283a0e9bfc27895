/*
Takes a picture of the page of `smirk3d view` in a headless Chromium that draws without a GPU.

Usage:
    npm install --prefix /tmp/node playwright-core
    smirk3d view out/ --no-browser &
    NODE_PATH=/tmp/node/node_modules node tests/conformance/view_screenshot.mjs http://127.0.0.1:8080 page.png [STEP...]

Steps are done in order before the picture is taken:
    click:TEXT    presses the button, check-box or tab with that text
    wait:SECONDS  waits
    drag:DX,DY    drags the scene by so many pixels
    png:FILE      takes a picture at this point, too

CHROMIUM names the browser where it is not /usr/bin/chromium, SIZE the window (1400x900). The last line written is a
JSON object: `errors` of the page, and `spread`, the standard deviation of the grey values in the middle of the
picture, which is near 0 where no head is drawn. The exit code is 1 where the page does not come up.
*/
import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--use-gl=angle",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SETTLE_MS = 2500;
const PATIENCE_MS = 90000; // drawing without a GPU on a busy machine takes its time

const [url, out, ...steps] = process.argv.slice(2);
if (!url || !out) {
  console.error("usage: node view_screenshot.mjs URL OUT.png [STEP...]");
  process.exit(2);
}
const [width, height] = (process.env.SIZE ?? "1400x900").split("x").map(Number);

async function doStep(page, step) {
  const [kind, ...rest] = step.split(":");
  const what = rest.join(":");
  if (kind === "click") await page.getByText(what, { exact: true }).first().click({ timeout: PATIENCE_MS });
  else if (kind === "wait") await page.waitForTimeout(1000 * Number(what));
  else if (kind === "png") await page.screenshot({ path: what, timeout: PATIENCE_MS });
  else if (kind === "drag") {
    const [dx, dy] = what.split(",").map(Number);
    await page.mouse.move(width / 2, height / 2);
    await page.mouse.down();
    await page.mouse.move(width / 2 + dx, height / 2 + dy, { steps: 8 });
    await page.mouse.up();
  } else throw new Error(`unknown step ${step}`);
}

/* Standard deviation of the grey values in the middle of a picture; the page itself decodes the PNG. */
async function spreadInTheMiddle(page, png) {
  return page.evaluate(async (data) => {
    const blob = await (await fetch(`data:image/png;base64,${data}`)).blob();
    const bitmap = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const [w, h] = [bitmap.width / 4, bitmap.height / 2].map(Math.round);
    const { data: rgba } = context.getImageData((bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < rgba.length; i += 4) {
      const grey = (rgba[i] + rgba[i + 1] + rgba[i + 2]) / 3;
      sum += grey;
      squares += grey * grey;
    }
    const n = rgba.length / 4;
    return Math.sqrt(Math.max(squares / n - (sum / n) ** 2, 0));
  }, png.toString("base64"));
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
try {
  const page = await browser.newPage({ viewport: { width, height } });
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url, { timeout: PATIENCE_MS });
  await page.waitForSelector("canvas", { timeout: PATIENCE_MS });
  await page.getByText("Both sides", { exact: true }).waitFor({ timeout: PATIENCE_MS });
  await page.waitForTimeout(SETTLE_MS);
  for (const step of steps) await doStep(page, step);
  const png = await page.screenshot({ path: out, timeout: PATIENCE_MS });
  console.log(JSON.stringify({ errors, spread: await spreadInTheMiddle(page, png) }));
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
} finally {
  await browser.close();
}
