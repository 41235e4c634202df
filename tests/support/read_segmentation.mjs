// Read a segmentation of one radiograph with Cornerstone, as OHIF does, and print its mask as JSON.
// node read_segmentation.mjs NODE_MODULES SEGMENTATION ORIGINAL
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, ...files] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(`${modules}/${path}`));
const { adaptersSEG } = await load("@cornerstonejs/adapters/dist/esm/index.js");
const { metaData } = await load("@cornerstonejs/core/dist/esm/index.js");
const { data } = (await load("dcmjs/build/dcmjs.es.js")).default;
const [segmentation, original] = files.map((path) => new Uint8Array(readFileSync(path)).buffer);

const instance = data.DicomMetaDictionary.naturalizeDataset(data.DicomMessage.readFile(original).dict);
const imageId = "test:original";
const image = {
  instance,
  generalSeriesModule: { studyInstanceUID: instance.StudyInstanceUID, seriesInstanceUID: instance.SeriesInstanceUID },
  generalImageModule: { sopInstanceUID: instance.SOPInstanceUID },
  sopCommonModule: { sopInstanceUID: instance.SOPInstanceUID, sopClassUID: instance.SOPClassUID },
  // the loader's defaults for a projection, which has no place in the patient
  imagePlaneModule: {
    rows: instance.Rows,
    columns: instance.Columns,
    imageOrientationPatient: [1, 0, 0, 0, 1, 0],
    rowCosines: [1, 0, 0],
    columnCosines: [0, 1, 0],
    imagePositionPatient: [0, 0, 0],
    rowPixelSpacing: 1,
    columnPixelSpacing: 1,
  },
};
const metadataProvider = { get: (type, id) => (id === imageId ? image[type] : undefined) };
metaData.addProvider(metadataProvider.get);
const found = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer([imageId], segmentation, {
  metadataProvider,
});
const [mask] = found.labelMapImages.flat();
const inside = [...mask.voxelManager.getScalarData()].flatMap((value, place) => (value ? [place] : []));
const labels = found.segMetadata.data.filter(Boolean).map((segment) => segment.SegmentLabel);
console.log(JSON.stringify({ rows: mask.rows, columns: mask.columns, labels, inside }));
