// SPDX-License-Identifier: Apache-2.0
// gradus model formats: the tables of docs/formats.md.
#include <functional>
#include <iostream>

#include "commands.h"
#include "model/formats/gguf.h"
#include "model/formats/gguf_mixture.h"
#include "model/gguf/architecture.h"
#include "model/quantization_config.h"

namespace gradus {
namespace {

template <class List, class Name>
std::string listed(const List& list, Name name) {
  std::string text;
  for (const auto& entry : list) text += (text.empty() ? "" : ", ") + std::string(name(entry));
  return text;
}

struct Format {
  std::string format, read, written, tested_against;
};

Json as_rows(const std::vector<Format>& formats) {
  Json rows = Json::array();
  for (const auto& [format, read, written, tested_against] : formats)
    rows.push_back({{"format", format},
                    {"read", read},
                    {"written", written},
                    {"tested_against", tested_against}});
  return rows;
}

Json weight_rows() {
  const auto name = [](const auto& entry) { return entry.name; };
  std::vector<Format> rows{{"safetensors, one file or shards with an index",
                            "F32, F16, BF16 weights",
                            "by every training command and `model import`", "safetensors"}};
  for (const QuantizedFormat& format : quantized_formats())
    rows.push_back({format.name, format.read, format.written, format.tested_against});
  rows.push_back({"GGUF v2 and v3, one file or split", listed(gguf_types(), name),
                  "`model convert`: " + listed(gguf_file_types(), name), "gguf, llama.cpp"});
  rows.push_back({"GGUF, other types",
                  "refused by name: " + listed(gguf_types_not_read(), std::identity{}), "", ""});
  rows.push_back(
      {"PyTorch pickles (`.bin`, `.pt`)", "refused, with the command that converts them", "", ""});
  rows.push_back({"PEFT folder ([keys and tensors](format_adapter.md))",
                  "LoRA, rsLoRA, DoRA, embeddings, saved modules, stacked experts",
                  "`sft` and `pretrain-continue` with LoRA", "peft"});
  rows.push_back({"`hf://OWNER/NAME@REVISION` ([hub](hub.md))",
                  "safetensors or GGUF, tokenizer and settings, in the cache of Python's tools", "",
                  "huggingface_hub"});
  rows.push_back({"logits (`model forward`)", "", "safetensors, [B, T, V]", "transformers"});
  return as_rows(rows);
}

Json text_rows() {
  return as_rows({
      {"`tokenizer.json`", "every component", "`model import`, from GGUF", "tokenizers"},
      {"`tokenizer.model`", "SentencePiece BPE and Unigram", "", "sentencepiece, transformers"},
      {"tiktoken files", "where the model is known", "", "tokens chosen by rank, in plain Python"},
      {"`tekken.json`", "Mistral", "", "transformers"},
      {"`vocab.json` and `merges.txt`, `vocab.txt`", "classes that need no renumbering", "",
       "transformers"},
      {"`rwkv_vocab_*.txt`", "RWKV World", "`model import`, from GGUF",
       "the longest match, in plain Python"},
      {"GGUF vocabulary", "gpt2, llama, bert, t5, rwkv", "gpt2, llama, rwkv",
       "gguf, llama.cpp, transformers"},
      {"chat template (`chat_template.jinja`, `tokenizer_config.json`)",
       "Jinja as transformers runs it, `{% generation %}` included", "", "jinja2, transformers"},
  });
}

Json architecture_rows() {
  Json rows = Json::array();
  for (const GgufArchitecture& architecture : gguf_architectures())
    rows.push_back({{"architecture", architecture.name}, {"model_type", architecture.model_type}});
  return rows;
}

void print_formats(const std::string& title, const Json& rows) {
  std::cout << "| " << title << " | read | written | tested against |\n"
            << "| --- | --- | --- | --- |\n";
  for (const Json& row : rows) {
    std::cout << '|';
    for (const char* key : {"format", "read", "written", "tested_against"})
      std::cout << ' ' << row[key].get<std::string>() << " |";
    std::cout << '\n';
  }
  std::cout << '\n';
}

void print_tables(const Json& document) {
  print_formats("weights", document["weights"]);
  print_formats("tokenizers and templates", document["tokenizers"]);
  std::cout << "| GGUF architecture | `model_type` |\n| --- | --- |\n";
  for (const Json& row : document["gguf_architectures"])
    std::cout << "| `" << row["architecture"].get<std::string>() << "` | `"
              << row["model_type"].get<std::string>() << "` |\n";
}

int run_formats(const CommandLine& line) {
  const Json document{{"weights", weight_rows()},
                      {"tokenizers", text_rows()},
                      {"gguf_architectures", architecture_rows()}};
  if (!print_json_if_asked(line, document)) print_tables(document);
  return 0;
}

}  // namespace

Command model_formats_command() {
  return {"model formats",
          "list the formats of weights and tokenizers that can be read and written",
          "",
          nullptr,
          nullptr,
          run_formats,
          Arguments::kNone};
}

}  // namespace gradus
