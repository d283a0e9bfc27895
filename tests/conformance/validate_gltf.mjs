// Check glTF files with Khronos' validator: node tests/conformance/validate_gltf.mjs FILE...
// Needs the npm package gltf-validator: in the current folder, or in the one that GLTF_VALIDATOR names.
// Exit codes: 0 no errors and no warnings, 1 otherwise, 2 the package is missing or no file is given.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";

const files = process.argv.slice(2);
let validator;
try {
  const folder = resolve(process.env.GLTF_VALIDATOR ?? ".");
  validator = createRequire(join(folder, "index.js"))("gltf-validator");
} catch {
  console.error("gltf-validator is missing: npm install gltf-validator, then set GLTF_VALIDATOR to that folder");
  process.exit(2);
}
if (files.length === 0) {
  console.error("usage: node tests/conformance/validate_gltf.mjs FILE...");
  process.exit(2);
}

let clean = true;
for (const file of files) {
  const options = { uri: basename(file), maxIssues: 100 };
  const { issues } = await validator.validateBytes(new Uint8Array(readFileSync(file)), options);
  console.log(`${file}: ${issues.numErrors} errors, ${issues.numWarnings} warnings, ${issues.numInfos} infos`);
  const severities = ["error", "warning", "info"];
  for (const issue of issues.messages.filter((message) => message.severity < severities.length)) {
    console.log(`  ${severities[issue.severity]} ${issue.code} ${issue.pointer ?? ""}: ${issue.message}`);
  }
  clean &&= issues.numErrors + issues.numWarnings === 0;
}
process.exit(clean ? 0 : 1);
