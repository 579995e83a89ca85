// What OHIF's own adapters (@cornerstonejs/adapters) make of one result object, without a browser.
//
// Run as `node --input-type=module --eval SCRIPT` in the folder that holds lab.mjs (adapters.py makes it), which takes half a second to load.
// Each line of standard input names a request, a JSON file: {object, as: "segmentation" | "report" | "map", sources: [paths], out: folder}.
// What is found goes to out/found.json, and the line `answered` to standard output, after the words of whatever was raised instead;
// of segmentations, each layer of label images also to out/N.raw: bytes, image after image in the order of `images`;
// of maps, the values as the viewer lays them over the volume of the sources to out/map.raw: float32, in the order of `sorted`.

import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { adaptersPMAP, adaptersSEG, adaptersSR, core, dcmjs } from './lab.mjs';

// Node 18, which Debian has, lacks it
globalThis.CustomEvent ??= class extends Event {
  constructor(type, init) {
    super(type, init);
    this.detail = init?.detail;
  }
};

let request;
const { DicomMessage, DicomMetaDictionary } = dcmjs.data;

function bytes(path) {
  const file = readFileSync(path);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
}

function parsed(path, options) {
  return DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(bytes(path), options).dict);
}

// One entry per image that a viewport can show: a single-frame instance, or a frame; ids as the viewer's DICOMweb source writes them.
const images = new Map();
const list = value => (value === undefined ? [] : Array.isArray(value) ? value : [value]);

function plane(instance, frame) {
  const shared = list(instance.SharedFunctionalGroupsSequence)[0] ?? {};
  const own = list(instance.PerFrameFunctionalGroupsSequence)[frame - 1] ?? {};
  const group = name => list(own[name])[0] ?? list(shared[name])[0] ?? instance;
  const orientation = list(group('PlaneOrientationSequence').ImageOrientationPatient).map(Number);
  const spacing = list(group('PixelMeasuresSequence').PixelSpacing).map(Number);
  return {
    frameOfReferenceUID: instance.FrameOfReferenceUID,
    rows: instance.Rows,
    columns: instance.Columns,
    imageOrientationPatient: orientation,
    rowCosines: orientation.slice(0, 3),
    columnCosines: orientation.slice(3, 6),
    imagePositionPatient: list(group('PlanePositionSequence').ImagePositionPatient).map(Number),
    pixelSpacing: spacing,
    rowPixelSpacing: spacing[0],
    columnPixelSpacing: spacing[1],
  };
}

function show(sources) {
  images.clear();
  for (const path of sources) {
    const instance = parsed(path, { untilTag: '7FE00010' });
    const frames = Number(instance.NumberOfFrames ?? 1);
    for (let frame = 1; frame <= frames; frame++) {
      const id = `wadors:archive/instances/${instance.SOPInstanceUID}/frames/${frame}`;
      images.set(id, { instance, frame, plane: plane(instance, frame) });
    }
  }
}

const metadata = {
  get(type, id) {
    const image = images.get(id);
    if (!image) return undefined;
    const { instance, frame } = image;
    switch (type) {
      case 'instance': return instance;
      case 'imagePlaneModule': return image.plane;
      case 'generalImageModule': return { sopInstanceUID: instance.SOPInstanceUID, instanceNumber: instance.InstanceNumber };
      case 'generalSeriesModule': return { seriesInstanceUID: instance.SeriesInstanceUID, modality: instance.Modality };
      case 'sopCommonModule': return { sopInstanceUID: instance.SOPInstanceUID, sopClassUID: instance.SOPClassUID };
      case 'imagePixelModule': return { rows: instance.Rows, columns: instance.Columns, samplesPerPixel: 1 };
      case 'frameNumber': return frame;
      default: return undefined;
    }
  },
};
core.metaData.addProvider((type, id) => metadata.get(type, id));

async function segmentation() {
  const ids = [...images.keys()];
  const { Segmentation } = adaptersSEG.Cornerstone3D;
  const made = await Segmentation.createFromDICOMSegBuffer(ids, bytes(request.object), { metadataProvider: metadata });
  made.labelMapImages.forEach((layer, number) => {
    const whole = layer.map(image => Buffer.from(image.voxelManager ? image.voxelManager.getScalarData() : image.getPixelData()));
    writeFileSync(`${request.out}/${number}.raw`, Buffer.concat(whole));
  });
  return {
    layers: made.labelMapImages.length,
    overlapping: made.overlappingSegments,
    // the viewer's own list skips the first entry, which stands for the background
    segments: made.segMetadata.data.slice(1).map(one => ({
      number: Number(one.SegmentNumber), label: one.SegmentLabel, rgb: one.rgba ?? null, tracking: one.TrackingUID ?? null,
    })),
  };
}

function report() {
  const ids = Object.fromEntries([...images].map(([id, { instance, frame }]) => [`${instance.SOPInstanceUID}:${frame}`, id]));
  const state = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(parsed(request.object), ids, metadata);
  return {
    annotations: Object.entries(state).flatMap(([tool, found]) => found.map(one => ({
      tool,
      image: one.annotation.metadata.referencedImageId ?? null,
      frameOfReference: one.annotation.metadata.FrameOfReferenceUID ?? null,
      points: one.annotation.data.handles.points.map(point => Array.from(point)),
      tracking: one.TrackingUniqueIdentifier ?? null,
      finding: one.finding ? { value: one.finding.CodeValue, scheme: one.finding.CodingSchemeDesignator, meaning: one.finding.CodeMeaning } : null,
      sites: one.findingSites.map(site => site.CodeValue),
      said: Object.values(one.annotation.data.cachedStats ?? {})[0] ?? {},
    }))),
  };
}

async function map() {
  const { sortedImageIds } = core.utilities.sortImageIdsAndGetSpacing([...images.keys()]);
  // called as OHIF's extension for maps does; it puts what comes back into a volume of the sources as it is
  const { pixelData } = await adaptersPMAP.Cornerstone3D.ParametricMap.generateToolState(sortedImageIds, bytes(request.object), metadata);
  writeFileSync(`${request.out}/map.raw`, Buffer.from(pixelData.buffer, pixelData.byteOffset, pixelData.byteLength));
  return { sorted: sortedImageIds };
}

const made = { segmentation, report, map };
for await (const line of createInterface({ input: process.stdin })) {
  try {
    request = JSON.parse(readFileSync(line));
    show(request.sources);
    const found = await made[request.as]();
    const shown = [...images].map(([id, { instance, frame }]) => ({ id, instance: instance.SOPInstanceUID, frame }));
    writeFileSync(`${request.out}/found.json`, JSON.stringify({ ...found, images: shown }));
  } catch (refused) {
    console.error(refused);
  }
  // the next object is another study's
  core.cache.purgeCache();
  console.log('\nanswered');
}
// the library leaves timers behind
process.exit(0);
