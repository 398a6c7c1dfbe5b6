// A stock client: does what it is told on the command line and prints the outcome as one line of JSON.
//
//     node client.mjs BASE_URL API_KEY STORY FOLDER

import fs from "node:fs";
import path from "node:path";
import OpenAI, { APIError } from "openai";

const [baseURL, apiKey, story, folder] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

const ROLE = { role: "system", content: "You are a helpful assistant." };
const system = (content) => ({ role: "system", content });
const user = (content) => ({ role: "user", content });

async function upload(filename) {
  return client.files.create({ file: fs.createReadStream(path.join(folder, filename)), purpose: "file-extract" });
}

async function ask(messages, options = {}) {
  return client.chat.completions.create({ model: "qwen-long", messages, ...options });
}

async function collect(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

async function caught(promise) {
  try {
    await promise;
  } catch (error) {
    return {
      name: error.constructor.name,
      isApiError: error instanceof APIError,
      status: error.status,
      code: error.code,
      type: error.type,
      param: error.param,
      error: error.error,
      requestId: error.requestID,
    };
  }
  return null;
}

const stories = {
  async files() {
    const created = await upload("tides.txt");
    const processed = await client.files.waitForProcessing(created.id, { pollInterval: 50 });
    const retrieved = await client.files.retrieve(created.id);
    const content = await (await client.files.content(created.id)).text();
    const deleted = await client.files.delete(created.id);
    const gone = await caught(client.files.retrieve(created.id));
    return { created, processed, retrieved, content, deleted, gone };
  },

  async listing() {
    const created = [];
    for (let number = 0; number < 5; number += 1) created.push((await upload("tides.txt")).id);
    const first = await client.files.list({ limit: 2, order: "asc" });
    const second = await client.files.list({ limit: 2, order: "asc", after: first.data.at(-1).id });
    const all = await collect(client.files.list({ limit: 2, order: "asc" }));
    const newest = await client.files.list({ limit: 1 });
    return {
      created,
      first: { ids: first.data.map((file) => file.id), has_more: first.has_more },
      second: second.data.map((file) => file.id),
      all: all.map((file) => file.id),
      newest: newest.data.map((file) => file.id),
    };
  },

  async chat() {
    const { id } = await upload("tides.txt");
    const messages = [ROLE, system(`fileid://${id}`), user("How high?")];
    const whole = await ask(messages);
    const plain = await collect(await ask(messages, { stream: true }));
    const withUsage = await collect(await ask(messages, { stream: true, stream_options: { include_usage: true } }));
    return { id, whole, plain, withUsage };
  },

  async documents() {
    const ids = [(await upload("tides.txt")).id, (await upload("keeper.txt")).id];
    const named = system(`fileid://${ids[0]},fileid://${ids[1]}`);
    const text = fs.readFileSync(path.join(folder, "keeper.txt"), "utf-8");
    const json = JSON.stringify({ item: "rope", price: 14 });
    const several = await ask([ROLE, named, user("Several?")]);
    const asText = await ask([ROLE, system(text), user("Text?")]);
    const asJson = await ask([ROLE, system(json), user("JSON?")]);
    const conversation = [ROLE, system(`fileid://${ids[0]}`), user("First?"), { role: "assistant", content: "Yes." }];
    const appended = await ask([...conversation, system(`fileid://${ids[1]}`), user("And then?")]);
    const cited = await ask([ROLE, named, user("How high do neap tides rise?")], {
      model: "quotes",
      bookwheel: { citations: true },
    });
    return { ids, several, asText, asJson, appended, cited };
  },

  async helper() {
    const { id } = await upload("tides.txt");
    const chunks = [];
    const runner = client.chat.completions.stream({
      model: "fake",
      messages: [ROLE, system(`fileid://${id}`), user("How high?")],
      stream_options: { include_usage: true },
    });
    runner.on("content", (delta) => chunks.push(delta));
    return { completion: await runner.finalChatCompletion(), text: chunks.join("") };
  },

  async models() {
    return { listed: await collect(client.models.list()), retrieved: await client.models.retrieve("qwen-long") };
  },

  async errors() {
    const stranger = new OpenAI({ baseURL, apiKey: "a-wrong-key", maxRetries: 0 });
    return {
      unknownFile: await caught(ask([ROLE, system("fileid://file-fe-unknown"), user("?")])),
      unknownFileStreamed: await caught(ask([ROLE, system("fileid://file-fe-unknown"), user("?")], { stream: true })),
      noUser: await caught(ask([ROLE])),
      unknownModel: await caught(ask([user("?")], { model: "gpt-9" })),
      wrongKey: await caught(stranger.models.list()),
      wrongPurpose: await caught(
        client.files.create({ file: fs.createReadStream(path.join(folder, "tides.txt")), purpose: "fun" }),
      ),
    };
  },
};

console.log(JSON.stringify(await stories[story]()));
