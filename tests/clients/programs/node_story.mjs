// A user's program for the Node client: node node_story.mjs HOST:PORT grpc|rest PROJECT
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';

const require = createRequire(pathToFileURL(`${process.cwd()}/package.json`));
const {v1, v1beta1} = require('@google-cloud/aiplatform');
const {OAuth2Client} = require('google-auth-library');
const {grpc} = require('google-gax');
const [address, transport, project] = process.argv.slice(2);
const [apiEndpoint, port] = address.split(':');
const parent = `projects/${project}/locations/us-central1`;
const containerSpec = {imageUri: 'host', command: ['sh', '-c', 'true']};
const pool = {machineSpec: {machineType: 'n1-standard-4'}, replicaCount: 1, containerSpec};
const told = {};

for (const [version, {JobServiceClient}] of Object.entries({v1, v1beta1})) {
  const options = {apiEndpoint, port: Number(port)};
  if (transport === 'rest') {
    const authClient = new OAuth2Client();
    authClient.setCredentials({access_token: 'any', expiry_date: Date.now() + 3600e3});
    Object.assign(options, {fallback: true, protocol: 'http', authClient});
  } else {
    options.sslCreds = grpc.credentials.createInsecure();
  }
  const client = new JobServiceClient(options);
  const [made] = await client.createCustomJob({parent, customJob: {displayName: version, jobSpec: {workerPoolSpecs: [pool]}}});
  let job;
  do {
    [job] = await client.getCustomJob({name: made.name});
  } while (job.state !== 'JOB_STATE_SUCCEEDED');
  const [listed] = await client.listCustomJobs({parent, filter: `displayName="${version}"`});
  await client.cancelCustomJob({name: made.name});
  const [operation] = await client.deleteCustomJob({name: made.name});
  await operation.promise();
  let gone;
  try {
    await client.getCustomJob({name: made.name});
  } catch (error) {
    gone = error.message.includes('The CustomJob does not exist.');
  }
  told[version] = [job.displayName, listed.length, gone];
  await client.close();
}
console.log(JSON.stringify(told));
