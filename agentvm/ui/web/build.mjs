// Builds the page into ../assets, which is committed: whoever only runs AgentVM needs no Node.
// `--out FOLDER` builds elsewhere, to compare.
import { context, build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf("--out");
const out = at < 0 ? path.join(here, "../assets") : path.resolve(process.argv[at + 1]);

const options = {
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx", layout: "src/graph/worker.ts", style: "src/style/main.css" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "eof",
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
};

await mkdir(out, { recursive: true });
for (const name of ["index.html", "icon.svg"]) await copyFile(path.join(here, "src", name), path.join(out, name));
if (process.argv.includes("--watch")) await (await context(options)).watch();
else await build(options);
