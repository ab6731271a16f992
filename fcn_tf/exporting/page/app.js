// The page: a photo from a file, a drop or the camera, its labels over it, and what to do where
// something is missing. After each photo `document` gets the event "labelled"; its `detail` has
// {name, width, height, labels, scores, accelerator, milliseconds}: labels are Uint8Array
// (height * width), scores the network's own, Float32Array of the size of the model.

import { getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { labelsOf, resized } from "./pixels.js";

const MOST_READ = 2 ** 24; // pixels; Safari's canvas holds no more
const MOST_SHOWN = 4e6; // pixels of labels, or those of the model; a larger photo is shown smaller
const SAME_LABELS = 0.999; // share of pixels on which WebGPU has to agree with WebAssembly
const ROUTES = { webgpu: "WebGPU (graphics processor)", wasm: "WebAssembly (processor)" };
const CAMERA_REFUSED = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser's settings, or choose a photo.",
  NotFoundError: "No camera was found. Choose a photo.",
  NotReadableError: "The camera is in use by another program. Close that, or choose a photo.",
};

const of = (id) => document.getElementById(id);
const say = (text) => (of("state").textContent = text);

/** A line that says what is wrong and what to do; `null` takes it away. */
function complain(text) {
  of("problem").hidden = text === null;
  of("problem").textContent = text ?? "";
}

/** An error whose message is a line for the page. */
class Problem extends Error {}

/** The bytes of a file beside the page. */
async function fetched(name, what) {
  let answer;
  try {
    answer = await fetch(name, { cache: "no-cache" });
  } catch {
    throw new Problem(`${name} cannot be read: the server does not answer. Load the page again.`);
  }
  if (!answer.ok) {
    throw new Problem(
      `${what}: there is no ${name} beside this page (the server answers ${answer.status}). Serve the whole folder that was exported.`,
    );
  }
  return new Uint8Array(await answer.arrayBuffer());
}

/** Names and colours of the classes, as the export wrote them. */
async function fetchedClasses() {
  const text = new TextDecoder().decode(await fetched("model.json", "No class names"));
  try {
    const { name, classes, palette } = JSON.parse(text);
    if (classes.length !== palette.length) throw new Error();
    return { name, names: classes, colours: palette };
  } catch {
    throw new Problem("model.json is damaged. Export the model again.");
  }
}

/** Compiles the model; gives what runs an image, and what it runs on. */
async function compiled(bytes, route) {
  const options = { accelerator: route, gpuOptions: { precision: "fp32" } };
  let network;
  try {
    network = await loadAndCompile(bytes, options);
  } catch (error) {
    if (route === "wasm") throw new Problem(`model.tflite cannot be loaded (${error.message ?? error}). Export the model again.`);
    return { ...(await compiled(bytes, "wasm")), refused: `WebGPU does not take this model (${error.message ?? error}).` };
  }
  if (route === "webgpu" && !network.isFullyAccelerated) {
    network.delete();
    return { ...(await compiled(bytes, "wasm")), refused: "WebGPU does not take all operations of this model." };
  }
  const [given] = network.getInputDetails();
  const [answered] = network.getOutputDetails();
  const [, height, width] = given.shape;
  const Values = given.dtype === "uint8" ? Uint8Array : Float32Array;
  return {
    route,
    size: { width, height },
    classes: answered.shape[3],
    release: () => network.delete(),
    /** RGB 0..255, height * width * 3, to scores, height * width * classes. */
    async scoresOf(rgb) {
      const input = new Tensor(Values.from(rgb), [1, height, width, 3]);
      const [output] = await network.run([input]);
      const scores = (await output.data()).slice();
      output.delete();
      if (!input.deleted) input.delete();
      return scores;
    },
  };
}

/** Where a photo of this size fits into so many pixels. */
function within(size, pixels) {
  const scale = Math.min(1, Math.sqrt(pixels / (size.width * size.height)));
  return {
    width: Math.max(1, Math.round(size.width * scale)),
    height: Math.max(1, Math.round(size.height * scale)),
  };
}

/** Draws an image into a canvas of that size; returns the canvas' context. */
function drawn(canvas, image, size) {
  canvas.width = size.width;
  canvas.height = size.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, size.width, size.height);
  return context;
}

/** A file as a bitmap: turned by its EXIF orientation, its values as they are stored. */
async function bitmapOf(file) {
  const start = new Uint8Array(await file.slice(0, 26).arrayBuffer());
  if (start[1] === 80 && start[2] === 78 && start[3] === 71 && start[24] === 16) {
    throw new Problem(`${file.name} has 16 bits a channel, and the model takes 8. Save it with 8 bits.`);
  }
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Problem(`${file.name} cannot be read as an image. Choose a JPEG, PNG or WebP that this browser shows.`);
  }
}

/** Shows which classes the photo has, and of how many of its pixels. */
function showLegend(classes, labels = null) {
  const counts = new Array(classes.names.length).fill(0);
  labels?.forEach((label) => counts[label]++);
  const order = [...counts.keys()].sort((a, b) => counts[b] - counts[a] || a - b);
  const lines = order.map((label) => {
    const line = document.createElement("li");
    line.classList.toggle("absent", labels !== null && counts[label] === 0);
    const parts = ["colour", "name", "share"].map((kind) => {
      const part = document.createElement("span");
      part.className = kind;
      return part;
    });
    parts[0].style.backgroundColor = `rgb(${classes.colours[label].map(Number).join(" ")})`;
    parts[1].textContent = classes.names[label];
    if (labels) parts[2].textContent = `${((100 * counts[label]) / labels.length).toFixed(1)} %`;
    line.append(...parts);
    return line;
  });
  of("legend").replaceChildren(...lines);
}

function showOverlay(labels, size, classes) {
  const overlay = of("overlay");
  overlay.width = size.width;
  overlay.height = size.height;
  const image = new ImageData(size.width, size.height);
  const pixels = new Uint32Array(image.data.buffer); // red is the lowest byte
  const colours = classes.colours.map(([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r);
  labels.forEach((label, place) => (pixels[place] = colours[label]));
  overlay.getContext("2d").putImageData(image, 0, 0);
}

function showOpacity() {
  of("overlay").style.opacity = of("opacity").value / 100;
  of("shown").value = `${of("opacity").value} %`;
}

/** After the browser has painted what stands on the page: the network keeps it from painting. */
const painted = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));

class Page {
  constructor(bytes, classes, network) {
    Object.assign(this, { bytes, classes, network });
    this.isChecked = false; // whether the labels of WebGPU were compared with those of WebAssembly
    this.doubt = null; // why they were not
    this.work = Promise.resolve();
    this.stream = null;
  }

  /** One thing at a time, in the order in which it was asked for. */
  inTurn(task) {
    this.work = this.work.then(task).catch((error) => {
      complain(error instanceof Problem ? error.message : `This failed: ${error.message ?? error}`);
      say(this.ready());
    });
    return this.work;
  }

  ready() {
    const { width, height } = this.network.size;
    return `Ready. Runs on ${ROUTES[this.network.route]}, at ${width}×${height} px.`;
  }

  async labelFile(file) {
    const bitmap = await bitmapOf(file);
    await this.label(bitmap, file.name);
    bitmap.close();
  }

  /** Labels an image and shows it. */
  async label(image, name) {
    complain(null);
    say(`Labelling ${name} …`);
    const full = { width: image.videoWidth ?? image.width, height: image.videoHeight ?? image.height };
    const most = Math.max(MOST_SHOWN, this.network.size.width * this.network.size.height);
    const shown = within(full, most);
    const size = within(full, MOST_READ);
    const pixels = drawn(document.createElement("canvas"), image, size).getImageData(0, 0, size.width, size.height).data;
    drawn(of("photo"), image, shown);
    of("photo").setAttribute("aria-label", name);
    of("overlay").hidden = true;
    for (const id of ["photo", "stage"]) of(id).hidden = false;
    of("drop").hidden = true;
    of("stage").classList.remove("empty");
    of("stage").style.aspectRatio = `${shown.width} / ${shown.height}`;
    of("stage").style.maxWidth = `${(80 * shown.width) / shown.height}vh`;
    await painted();

    const begin = performance.now();
    const rgb = resized(pixels, size, this.network.size);
    const ran = performance.now();
    let scores;
    try {
      scores = await this.network.scoresOf(rgb);
    } catch (error) {
      if (this.network.route === "wasm") throw error;
      return this.labelWithoutWebGpu(image, name, `WebGPU failed (${error.message ?? error})`);
    }
    const answered = performance.now();
    const labels = labelsOf(scores, this.network.classes, this.network.size, shown);
    const milliseconds = performance.now() - begin;
    const wrong = await this.wrongShare(rgb, scores);
    if (wrong !== null && wrong > 1 - SAME_LABELS) {
      const share = `${(100 * wrong).toFixed(1)} % of the pixels of this photo`;
      return this.labelWithoutWebGpu(image, name, `WebGPU gave other labels than WebAssembly on ${share}`);
    }

    showOverlay(labels, shown, this.classes);
    of("overlay").hidden = false;
    showLegend(this.classes, labels);
    const doubt = this.network.route === "webgpu" ? this.doubt : null;
    complain(doubt ?? warning(pixels, full, size));
    const smaller = shown.width < full.width ? `, labels shown at ${shown.width}×${shown.height}` : "";
    say(
      `${name}, ${full.width}×${full.height} px${smaller}: ${milliseconds.toFixed(0)} ms in all, ` +
        `${(answered - ran).toFixed(0)} ms of them the network on ${ROUTES[this.network.route]}.`,
    );
    const detail = { name, ...shown, labels, scores, accelerator: this.network.route, milliseconds };
    document.dispatchEvent(new CustomEvent("labelled", { detail }));
  }

  /** Of the first photo on WebGPU: the share of pixels whose labels WebAssembly does not give; else null. */
  async wrongShare(rgb, scores) {
    if (this.network.route !== "webgpu" || this.isChecked) return null;
    const { size, classes } = this.network;
    this.isChecked = true;
    let expected;
    try {
      const other = await compiled(this.bytes, "wasm");
      expected = labelsOf(await other.scoresOf(rgb), classes, size, size);
      other.release();
    } catch (error) {
      this.doubt = `The labels of WebGPU could not be compared with those of WebAssembly (${error.message ?? error}).`;
      return null;
    }
    const found = labelsOf(scores, classes, size, size);
    return found.filter((label, place) => label !== expected[place]).length / found.length;
  }

  async labelWithoutWebGpu(image, name, why) {
    await this.choose("wasm");
    await this.label(image, name);
    complain(`${why}. The page goes on with WebAssembly.`);
  }

  async choose(route) {
    say("Loading the model …");
    await painted();
    const before = this.network;
    try {
      this.network = await compiled(this.bytes, route);
      before.release();
    } finally {
      of("route").value = this.network.route;
    }
    complain(this.network.refused ?? null);
    say(this.ready());
  }

  async useCamera() {
    if (this.stream) {
      const video = of("video");
      await this.label(video, "Photo of the camera");
      this.stopCamera();
      return;
    }
    complain(null);
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Problem("Browsers give the camera to pages over https and on localhost alone. Serve this page so, or choose a photo.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      throw new Problem(CAMERA_REFUSED[error.name] ?? `The camera cannot be used (${error.message}). Choose a photo.`);
    }
    of("video").srcObject = this.stream;
    for (const [id, hidden] of [["video", false], ["stop", false], ["stage", true]]) of(id).hidden = hidden;
    await of("video").play();
    of("camera").textContent = "Take the photo";
  }

  stopCamera() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    of("video").srcObject = null;
    for (const [id, hidden] of [["video", true], ["stop", true], ["stage", false]]) of(id).hidden = hidden;
    of("camera").textContent = "Use the camera";
  }

  listen() {
    const label = (files) => {
      const file = files[0];
      this.inTurn(async () => {
        if (!file) throw new Problem("What was dropped is no file. Drop an image file.");
        if (this.stream) this.stopCamera();
        await this.labelFile(file);
        if (files.length > 1) complain(`Only ${file.name} was taken: one photo at a time.`);
      });
    };
    of("file").addEventListener("change", () => {
      if (of("file").files.length) label([...of("file").files]);
      of("file").value = ""; // so that the same file can be chosen again
    });
    addEventListener("dragover", (event) => {
      event.preventDefault();
      of("stage").classList.add("over");
    });
    addEventListener("dragleave", () => of("stage").classList.remove("over"));
    addEventListener("drop", (event) => {
      event.preventDefault();
      of("stage").classList.remove("over");
      label([...event.dataTransfer.files]);
    });
    of("camera").addEventListener("click", () => this.inTurn(() => this.useCamera()));
    of("stop").addEventListener("click", () => this.stopCamera());
    of("route").addEventListener("change", () => this.inTurn(() => this.choose(of("route").value)));
    for (const id of ["file", "camera"]) of(id).disabled = false;
    of("route").disabled = getWebGpuDevice() === null;
  }
}

/** What makes the labels differ from those of the file itself, or null. */
function warning(pixels, full, size) {
  if (size.width < full.width) {
    return "The photo has more than 16 megapixels: the browser made it smaller first.";
  }
  for (let place = 3; place < pixels.length; place += 4) {
    if (pixels[place] < 255) {
      return "The image has transparent parts. Browsers lose their colours, so the labels there may differ from those of fcn-tf predict.";
    }
  }
  return null;
}

function describe(network, classes) {
  const { width, height } = network.size;
  document.title = of("title").textContent = classes.name;
  of("scaling").textContent =
    `The model takes images of ${width}×${height} px (width × height). A photo of another size is scaled to it, its sides each by themselves, ` +
    "with bilinear interpolation. The scores of the classes are scaled back to the photo, and each pixel gets the class with the best score. " +
    "fcn-tf predict does the same.";
  of("runtime").textContent = "Made by fcn_tf. The model is run by LiteRT.js (Apache-2.0); its files are in the folder litert.";
}

async function start() {
  if (location.protocol === "file:") return; // index.html has said what to do
  window.isStarted = true;
  const [classes, bytes] = await Promise.all([fetchedClasses(), fetched("model.tflite", "No model"), loadLiteRt("./litert/wasm/")]);
  const wanted = new URLSearchParams(location.search).get("run");
  const gpu = getWebGpuDevice();
  // A software adapter is slower than WebAssembly: it runs where it is asked for.
  const isFast = gpu !== null && !gpu.adapterInfo?.isFallbackAdapter;
  const network = await compiled(bytes, gpu && (wanted ?? (isFast ? "webgpu" : "wasm")) === "webgpu" ? "webgpu" : "wasm");
  if (network.classes !== classes.names.length) {
    throw new Problem(`model.json names ${classes.names.length} classes, and model.tflite has ${network.classes}. They do not belong together: export the model again.`);
  }
  const page = new Page(bytes, classes, network);
  of("route").value = network.route;
  describe(network, classes);
  showLegend(classes);
  showOpacity();
  of("opacity").addEventListener("input", showOpacity);
  page.listen();
  say(gpu ? page.ready() : `${page.ready()} This browser has no WebGPU.`);
  complain(network.refused ?? null);
}

start().catch((error) => {
  complain(error instanceof Problem ? error.message : `The page cannot start: ${error.message ?? error}`);
  say("Not started.");
});
