// A stock client of the Responses API: asks about a file in each of the SDK's ways, and prints the outcome as a line of JSON.
//
//     node responses.mjs BASE_URL API_KEY FILE_ID

import OpenAI from "openai";

const [baseURL, apiKey, fileId] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const content = [
  { type: "input_file", file_id: fileId },
  { type: "input_text", text: "How high do neap tides rise?" },
];
const asked = { model: "quotes", instructions: "Be brief.", input: [{ role: "user", content }] };

async function caught(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, message: error.error?.message };
  }
  return null;
}

async function collect(stream) {
  const types = [];
  for await (const event of stream) types.push(event.type);
  return types;
}

const whole = await client.responses.create(asked);
const types = await collect(await client.responses.create({ ...asked, stream: true }));
const runner = client.responses.stream(asked);
let text = "";
runner.on("response.output_text.delta", (event) => (text += event.delta));
const final = await runner.finalResponse();
const again = await client.responses.create({
  ...asked,
  input: [...asked.input, ...whole.output, { role: "user", content: "And spring tides?" }],
});
const gone = await caught(client.responses.retrieve(whole.id));
const broken = await caught(client.responses.create({ model: "broken", input: "?", stream: true }).then(collect));

console.log(JSON.stringify({ whole, types, text, final, again, gone, broken }));
