/** What to type so that a client reads from this server. */

/**
 * @param {{ endpoint: string, repo: string, revision: string, file: string, needsToken: boolean }} target
 *   `endpoint` without its last slash; `file` is one that curl can show
 * @returns {{ name: string, note: string, text: string }[]}
 */
export function clientLines({ endpoint, repo, revision, file, needsToken }) {
  const token = needsToken ? "export HF_TOKEN=hf_...  # your token\n" : "";
  const setting = `${token}export HF_ENDPOINT=${shell(endpoint)}\n`;
  const url = `${endpoint}/${repo}/resolve/${revision}/${file.split("/").map(encodeURIComponent).join("/")}`;
  const bearer = needsToken ? ` -H "Authorization: Bearer $HF_TOKEN"` : "";
  const python = needsToken ? `os.environ["HF_TOKEN"] = "hf_..."  # your token\n` : "";
  const [q, qRepo, qRevision] = [JSON.stringify(endpoint), JSON.stringify(repo), JSON.stringify(revision)];
  return [
    {
      name: "transformers",
      note: "Python. The endpoint is read when the library is imported.",
      text: `import os\nos.environ["HF_ENDPOINT"] = ${q}\n${python}` +
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n" +
        `tokenizer = AutoTokenizer.from_pretrained(${qRepo}, revision=${qRevision})\n` +
        `model = AutoModelForCausalLM.from_pretrained(${qRepo}, revision=${qRevision})`,
    },
    {
      name: "huggingface_hub",
      note: "Python: the whole repository as a folder.",
      text: "from huggingface_hub import snapshot_download\n\n" +
        `folder = snapshot_download(${qRepo}, revision=${qRevision}, endpoint=${q}` +
        `${needsToken ? ', token="hf_..."' : ""})`,
    },
    {
      name: "hf",
      note: "The Hub's command line.",
      text: `${setting}hf download ${shell(repo)} --revision ${shell(revision)}`,
    },
    {
      name: "vLLM",
      note: "Its weights and its tokenizer come from here.",
      text: `${setting}vllm serve ${shell(repo)} --revision ${shell(revision)} ` +
        `--tokenizer-revision ${shell(revision)}`,
    },
    {
      name: "@huggingface/hub",
      note: "JavaScript: Deno, Node, browsers.",
      text: 'import { downloadFile } from "@huggingface/hub";\n\n' +
        `const file = await downloadFile({\n  hubUrl: ${q},\n  repo: ${qRepo},\n  revision: ${qRevision},\n` +
        `  path: ${JSON.stringify(file)},\n${needsToken ? '  accessToken: "hf_...",\n' : ""}});`,
    },
    {
      name: "transformers.js",
      note: needsToken
        ? "It sends no token to a server of one's own: this works where reading takes none."
        : "Config and tokenizer; it runs ONNX models, not the weights of this server.",
      text: 'import { AutoTokenizer, env } from "@huggingface/transformers";\n\n' +
        `env.remoteHost = ${JSON.stringify(`${endpoint}/`)};\n` +
        'env.remotePathTemplate = "{model}/resolve/{revision}/";\n' +
        `const tokenizer = await AutoTokenizer.from_pretrained(${qRepo}, { revision: ${qRevision} });`,
    },
    {
      name: "curl",
      note: "The first KiB of a file; then the whole, resumed where it broke off.",
      text: `curl -fL${bearer} -r 0-1023 -o part ${shell(url)}\ncurl -fL${bearer} -C - -O ${shell(url)}`,
    },
  ];
}

/** As one word of a POSIX shell. */
function shell(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
