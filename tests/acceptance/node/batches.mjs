// A stock client of the Batches API: has batches run, fail and cancelled, and prints the outcome as a line of JSON.
//
//     node batches.mjs BASE_URL API_KEY FOLDER
//
// FOLDER has the input files quick.jsonl, slow.jsonl (whose engine does not answer) and wrong.jsonl.

import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";

const [baseURL, apiKey, folder] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

async function submit(filename) {
  const file = await client.files.create({ file: fs.createReadStream(path.join(folder, filename)), purpose: "batch" });
  return client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { ds_name: filename },
  });
}

async function waitFor({ id }, statuses) {
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (statuses.includes(batch.status)) return batch;
    await sleep(20);
  }
}

const waitForEnd = (batch) => waitFor(batch, ["completed", "failed", "expired", "cancelled"]);

async function results(fileId) {
  const text = await (await client.files.content(fileId)).text();
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

async function caught(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, message: error.error?.message };
  }
  return null;
}

const created = await submit("quick.jsonl");
const ended = await waitForEnd(created);
const output = await results(ended.output_file_id);
const failures = await results(ended.error_file_id);
const endedAlready = await caught(client.batches.cancel(ended.id));

const slow = await waitFor(await submit("slow.jsonl"), ["in_progress"]);
const cancelling = await client.batches.cancel(slow.id);
const cancelled = await waitForEnd(cancelling);

const failed = await waitForEnd(await submit("wrong.jsonl"));
const listed = [];
for await (const batch of client.batches.list({ limit: 2 })) listed.push(batch.id);
const unknown = await caught(client.batches.retrieve("batch_unknown"));

const told = { created, ended, output, failures, cancelling, cancelled, failed, listed, unknown, endedAlready };
console.log(JSON.stringify(told));
