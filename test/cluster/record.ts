/**
 * Runs the scripts of kubectl commands against a real API server and writes down what was said:
 * recorded/. Run it when a script or the version of Kubernetes changes, and read the difference.
 *
 *   npm run kubernetes:record
 */
import { join } from 'node:path';
import { kubernetesCache } from '../../scripts/build-kubernetes.ts';
import { KubectlRunner } from './kubectl-runner.testkit.ts';
import { type KubectlCommand, readScripts } from './kubectl-script.testkit.ts';
import { saveTranscript, transcriptOf } from './kubectl-transcript.testkit.ts';
import { RealApiServer } from './real-apiserver.testkit.ts';
import {
  Placeholders,
  type RecordedExchange,
  recordedStep,
  saveRecorded,
} from './recorded-exchanges.testkit.ts';
import { observeReal } from './real-behaviour.testkit.ts';
import { saveBehaviour } from './recorded-behaviour.testkit.ts';
import { recordDiscovery } from './recorded-discovery.testkit.ts';
import { RecordingProxy } from './recording-proxy.testkit.ts';

async function record(server: RealApiServer): Promise<void> {
  const commands = readScripts();
  const byTitle = new Map(commands.map((command) => [command.title, command]));
  const proxy = await RecordingProxy.start(server.address);
  const exchanges: RecordedExchange[] = [];
  const placeholders = new Placeholders();
  try {
    const kubectl = kubernetesCache().path('kubectl');
    const home = join(server.directory, 'home');
    const runner = new KubectlRunner(kubectl, server.address, home, proxy.address);
    const results = await runner.runAll(commands, async (titles) => {
      const goneFirst = byTitle.get(titles[0] ?? '')?.goneFirst;
      exchanges.push(...recordedStep(titles, goneFirst, await proxy.take(), placeholders));
    });
    save(commands, exchanges);
    const texts = [...results].map(([title, one]) => [title, transcriptOf(one)] as const);
    saveTranscript(commands, new Map(texts));
    await recordDiscovery(server.address);
    saveBehaviour(await observeReal(server));
  } finally {
    await proxy.stop();
  }
}

function save(commands: readonly KubectlCommand[], exchanges: readonly RecordedExchange[]): void {
  for (const file of new Set(commands.map((command) => command.file))) {
    const own = exchanges.filter(({ titles }) => titles[0]?.startsWith(`${file}: `));
    saveRecorded(file, own);
    console.log(`${file}: ${own.length} exchanges`);
  }
}

const server = await RealApiServer.start();
try {
  await record(server);
} finally {
  await server.stop();
}
