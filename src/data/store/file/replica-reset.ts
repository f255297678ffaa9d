/** A replica becomes an empty one of a size, in files of its own: before a rebuild from nothing. */
import type { DataPath } from './data-path.ts';
import { createLayerFiles, openLayer } from './layer-files.ts';
import { removeQuietly } from './metadata-file.ts';
import type { ReplicaLayers } from './replica-layers.ts';
import { createPagedFile, fileIdOf, newHex8, openPagedFile } from './replica-directory.ts';

/** Runs alone among the rounds. `onEmpty` is called once the new, empty layer is served. */
export async function resetReplica(
  layers: ReplicaLayers,
  dataPath: DataPath,
  sizeBytes: number,
  onEmpty: () => void,
): Promise<void> {
  const { headerFile, directory, mapLog, intents, stamps } = layers.files;
  const { host, cache } = layers.options;
  const { disk, rng } = host;
  const { identity } = headerFile.header;
  // First the log: what it says of `completed` must not outlive the contents.
  await layers.rounds.checkpointAlone();
  await mapLog.exclusive(async () => {
    await mapLog.restartInside(rng.bytes(8), { epoch: 0, n: 0 });
  });
  layers.rounds.forgetCompleted();
  const { replica, volume } = identity;
  const record = await createLayerFiles(disk, rng, directory, replica, volume, sizeBytes);
  const stampsId = newHex8(rng);
  const stampsPath = `${directory}/stamps-${stampsId}`;
  const stampsFile = await createPagedFile(disk, stampsPath, 'STMP', { stamps: stampsId }, 0);
  await disk.syncDirectory(directory);
  const old = headerFile.header;
  // The log stays: where it came back as a copy, this is the file from now on.
  const mapLogFile = await fileIdOf(mapLog.file);
  await layers.updateHeader(() => ({
    mapLog: mapLogFile,
    sizeBytes,
    layers: [record],
    stamps: stampsId,
    stampsFile,
    baseEpoch: 0,
    baseN: 0,
    baseSegments: 0,
    rolledBack: false,
    healing: false,
    logTorn: false,
  }));
  await layers.failing(async () => intents.drop(intents.segments()));
  const before = layers.stack.layers;
  const oldStamps = stamps.pages;
  const { layer } = await openLayer(
    disk,
    layers.options.pool,
    record,
    layers.segmentBlocks,
    cache,
    [],
  );
  stamps.pages = (await openPagedFile(disk, stampsPath, 'STMP', stampsId, cache, [])).pages;
  stamps.base = { generation: { epoch: 0, n: 0 }, segments: 0 };
  layers.stack.layers = [layer];
  dataPath.refusal = null;
  onEmpty();
  await dataPath.turnOver();
  for (const gone of before) await layers.retire(gone);
  await oldStamps.close();
  await removeQuietly(disk, `${directory}/stamps-${old.stamps}`);
}
