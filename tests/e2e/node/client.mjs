// What a Node program does with the official client, and what it sees: one JSON object, a result for each scenario.
// usage: node client.mjs BASE_URL KEY [errors | policy MODEL_THAT_LEAKS | moderated]
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const model = "demo-small";
const messages = [{ role: "user", content: "How do I boil an egg — “à la coque”? 🥚" }];
const weather = [{ role: "user", content: "What is the weather in Oslo?" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const pixel = "data:image/png;base64," + Buffer.alloc(50_000, 7).toString("base64");

async function all(stream) {
  const seen = [];
  for await (const part of await stream) seen.push(part);
  return seen;
}

const chat = (more) => client.chat.completions.create({ model, messages, ...more });

const scenarios = {
  chat: () => chat(),
  chat_streamed: () => all(chat({ stream: true })),
  chat_streamed_with_usage: () => all(chat({ stream: true, stream_options: { include_usage: true } })),
  tool_call: () => chat({ messages: weather, tools, tool_choice: "required" }),
  tool_call_streamed: () => client.chat.completions.stream({ model, messages: weather, tools }).finalChatCompletion(),
  several_choices: () => chat({ n: 3 }),
  logprobs: () => chat({ logprobs: true, top_logprobs: 1 }),
  json_mode: () => chat({ response_format: { type: "json_object" } }),
  json_schema: () =>
    chat({ response_format: { type: "json_schema", json_schema: { name: "place", schema: parameters } } }),
  image: () => chat({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: pixel } }] }] }),
  completion: () => client.completions.create({ model, prompt: "Once upon a time" }),
  completion_streamed: () => all(client.completions.create({ model, prompt: "Once upon a time", stream: true })),
  embeddings: () => client.embeddings.create({ model, input: ["a cat", "a dog"], dimensions: 16 }),
  embeddings_as_floats: () => client.embeddings.create({ model, input: "a cat", encoding_format: "float" }),
  response: () => client.responses.create({ model, input: "Tell me of the sea" }),
  response_streamed: () => all(client.responses.create({ model, input: "Tell me of the sea", stream: true })),
  models: () => all(client.models.list()),
  one_model: () => client.models.retrieve(model),
  upload: async () => {
    const { sha256, ...file } = await client.files.create({
      file: await toFile(Buffer.alloc(3_000_000, "assay "), "data.jsonl"),
      purpose: "fine-tune",
    });
    return { filename: file.filename, purpose: file.purpose, whole: file.bytes > 3_000_000 };
  },
  download: async () => {
    const answer = await client.files.content("file-1000000");
    return Buffer.from(await answer.arrayBuffer()).toString("base64");
  },
  unknown_model: () => chat({ model: "none" }),
  upstream_500: () => chat({ model: `${model}?status=500` }),
  upstream_429: () => chat({ model: `${model}?status=429` }),
  left_early: async () => {
    const stream = await chat({ model: `${model}?deltas=600&gap_ms=20`, stream: true });
    for await (const _ of stream) break;
    return "left";
  },
};
// Only a gateway can be asked for these.
const errors = {
  wrong_key: () => new OpenAI({ baseURL, apiKey: "sk-wrong-0123", maxRetries: 0 }).models.list(),
  broken_off: () => all(chat({ model: `${model}?reset_after=3`, stream: true })),
};

// What an enforcing gateway does to a model that leaks.
const leak = process.argv[5];
const policy = {
  blocked: () => chat({ model: leak }),
  blocked_chat_streamed: () => all(chat({ model: leak, stream: true })),
  blocked_completion_streamed: () => all(client.completions.create({ model: leak, prompt: "hello", stream: true })),
  blocked_response_streamed: () => client.responses.stream({ model: leak, input: "hello" }).finalResponse(),
};

// What the gateway answers itself.
const moderation = { model: "omni-moderation-latest" };
const cruel = [{ role: "user", content: "I will kill you, you worthless idiot" }];
const withholding = { ...moderation, policy: { output: { mode: "block" } } };
const refusing = { ...moderation, policy: { input: { mode: "block" } } };
const repeating = `${model}?say=${cruel[0].content}`.replaceAll(" ", "+");
const respond = (more) => client.responses.create({ model, input: cruel[0].content, moderation, ...more });
const moderated = {
  moderations: () => client.moderations.create({ ...moderation, input: cruel[0].content }),
  scored: () => chat({ messages: cruel, moderation }),
  scored_streamed: () => all(chat({ messages: cruel, moderation, stream: true })),
  scored_response: () => respond(),
  scored_response_streamed: () =>
    client.responses.stream({ model, input: cruel[0].content, moderation }).finalResponse(),
  withheld: () => chat({ model: repeating, moderation: withholding }),
  withheld_streamed: () => all(chat({ model: repeating, moderation: withholding, stream: true })),
  withheld_response: () => respond({ model: repeating, moderation: withholding }),
  withheld_response_streamed: () =>
    client.responses.stream({ model: repeating, input: "hello", moderation: withholding }).finalResponse(),
  refused: () => chat({ messages: cruel, moderation: refusing }),
  refused_response: () => respond({ moderation: refusing }),
};

async function outcome(run) {
  try {
    return JSON.parse(JSON.stringify(await run()));
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { raised: error.constructor.name, status: error.status ?? null, code: error.code, body: error.error };
  }
}

const wanted = { errors, policy, moderated }[process.argv[4]] ?? scenarios;
const results = {};
for (const [name, run] of Object.entries(wanted)) results[name] = await outcome(run);
process.stdout.write(JSON.stringify(results));
