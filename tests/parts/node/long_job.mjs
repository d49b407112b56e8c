// A long job: one client of the AWS SDK for JavaScript asks STS who it is, again and again, with the SDK's
// own chain of credential providers and its own renewal.
//
//     long_job.mjs CALLS SECONDS PAUSE
//
// Ends after CALLS calls or SECONDS seconds, whichever comes first, with PAUSE seconds between calls. Prints
// a JSON line a call: {"call": N, "arn": ...}, or {"call": N, "error": name, "message": ...}. An error does
// not end it; the exit status says whether there was one. Prints no credentials.
//
// The packages are where tests/setup put them: NODE_PARTS names that folder.

import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const require = createRequire(`${process.env.NODE_PARTS}/`);
const { GetCallerIdentityCommand, STSClient } = require('@aws-sdk/client-sts');
const { fromNodeProviderChain } = require('@aws-sdk/credential-providers');

const [calls, seconds, pause] = process.argv.slice(2).map(Number);
const region = process.env.AWS_REGION ?? 'us-east-1';
const client = new STSClient({
  region,
  credentials: fromNodeProviderChain({ clientConfig: { region } }),
});

async function ask() {
  try {
    return { arn: (await client.send(new GetCallerIdentityCommand({}))).Arn };
  } catch (error) {
    return { error: error.name, message: error.message };
  }
}

const end = performance.now() + seconds * 1000;
let failed = false;
for (let call = 1; call <= calls; call += 1) {
  const told = await ask();
  failed ||= 'error' in told;
  // A pipe takes a line at once, and whoever reads it waits for it.
  process.stdout.write(`${JSON.stringify({ call, ...told })}\n`);
  if (performance.now() + pause * 1000 > end) break;
  if (call < calls) await sleep(pause * 1000);
}
process.exitCode = failed ? 1 : 0;
