// SPDX-License-Identifier: Apache-2.0
// gradus model verify: whether a model folder, an adapter or a GGUF file is whole, by every check
// there is.
#include <cmath>
#include <iostream>
#include <span>

#include "base/error.h"
#include "base/parallel.h"
#include "commands.h"
#include "data/text_tools.h"
#include "hub/hub.h"
#include "model/adapter.h"
#include "model/folder.h"
#include "model/formats/folder_kind.h"
#include "store/adapter_base.h"
#include "store/inspect/contents.h"
#include "store/walk.h"

namespace gradus {
namespace {

std::string check_lineage(const fs::path& folder) {
  if (!has_lineage(folder)) return "no lineage.json: nothing to compare with";
  const Verification result = verify_folder(folder);
  std::string changes;
  for (const std::string& change : result.changes)
    changes += (changes.empty() ? "" : ", ") + change;
  if (!result.ok())
    throw Error({.what = "is not what its lineage.json describes",
                 .where = folder.string(),
                 .found = changes});
  return "the files are those of lineage.json, " + result.found.substr(0, 12);
}

// Index against shards, every tensor against config.json, finite values: loading does all that.
std::string check_weights(const fs::path& folder) {
  const Transformer model = load_model(folder, {});
  return cat(parameter_count(model.config()), " parameters, as config.json describes, all finite");
}

std::string check_tokenizer(const fs::path& folder) {
  const auto tokenizer = load_tokenizer(folder);
  const int64_t vocab_size = read_model_config(folder).vocab_size;
  check_tokenizer_fits(*tokenizer, vocab_size, folder.string());
  return cat(tokenizer->vocab_size(), " tokens in a vocabulary of ", vocab_size);
}

std::string check_template(const fs::path& folder) {
  const TextTools tools = load_text_tools(folder);
  if (!tools.chat_template) return "none";
  ChatInput input;
  input.messages = Json::array({{{"role", "user"}, {"content", "Which way is up?"}}});
  input.add_generation_prompt = true;
  input.bos_token = tools.bos_token;
  input.eos_token = tools.eos_token;
  const RenderedChat chat = tools.chat_template->render_traced(input);
  if (chat.text.find("Which way is up?") == std::string::npos)
    throw Error({.what = "the chat template loses the user's message", .where = folder.string()});
  return cat("renders; a question of 4 words becomes ",
             encode_chat(chat, *tools.tokenizer).ids.size(), " tokens");
}

std::string check_adapter(const fs::path& folder) {
  const Adapter adapter = read_adapter(folder);
  const size_t modules = adapter.pairs.size() + adapter.embeddings.size() + adapter.stacked.size();
  return cat(modules, " adapted modules and ", adapter.tensors.size() + adapter.token_rows.size(),
             " whole tensors, as adapter_config.json describes, all finite");
}

// Only where the base is at hand: an adapter alone is whole too.
std::string check_base(const fs::path& folder) {
  const AdapterBase base = find_adapter_base(folder);
  if (base.folder.empty())
    return base.named.empty()
               ? "names none: nothing to compare with"
               : printable(base.named, 200) + " is not here: nothing to compare with";
  Transformer model = load_model(base.folder, {});
  attach_adapter(model, read_adapter(folder));
  return "fits " + base.folder.string();
}

void require_finite(const ContentTensor& tensor) {
  std::vector<float> row(static_cast<size_t>(tensor.row_elements()));
  const int64_t rows = row.empty() ? 0 : tensor.elements() / tensor.row_elements();
  for (int64_t i = 0; i < rows; ++i) {
    expand_rows(tensor, i, row);
    for (const float value : row) {
      if (!std::isfinite(value))
        throw Error({.what = "weights contain NaN or infinity", .where = printable(tensor.name)});
    }
  }
}

std::string check_gguf_weights(const fs::path& file) {
  const ModelContents contents = open_contents(file);
  parallel_for(static_cast<int64_t>(contents.tensors.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) require_finite(contents.tensors[static_cast<size_t>(i)]);
  });
  return cat(contents.tensors.size(), " tensors, all finite");
}

std::string check_gguf_tokenizer(const fs::path& file) {
  const ModelContents contents = open_contents(file);
  const Json tokens = contents.metadata.value("tokenizer.ggml.tokens", Json());
  const ContentTensor* embedding = contents.find("token_embd.weight");
  if (!tokens.is_array()) return "none";
  if (!embedding || embedding->shape.empty())
    throw Error({.what = "has a tokenizer and no token_embd.weight", .where = file.string()});
  const int64_t rows = embedding->shape[0];
  if (static_cast<int64_t>(tokens.size()) > rows)
    throw Error({.what = "the tokenizer has more tokens than the embedding has rows",
                 .where = file.string(),
                 .expected = cat("at most ", rows),
                 .found = cat(tokens.size())});
  return cat(tokens.size(), " tokens in a vocabulary of ", rows);
}

std::string check_gguf_template(const fs::path& file) {
  const Json text = open_contents(file).metadata.value("tokenizer.chat_template", Json());
  if (!text.is_string()) return "none";
  const ChatTemplate parsed(text.get<std::string>(), file.string() + ": tokenizer.chat_template");
  return cat("parses; ", parsed.source().size(), " characters");
}

struct Check {
  const char* name;
  std::string (*run)(const fs::path&);
};
constexpr Check kModelChecks[] = {{"lineage", check_lineage},
                                  {"weights", check_weights},
                                  {"tokenizer", check_tokenizer},
                                  {"chat_template", check_template}};
constexpr Check kAdapterChecks[] = {
    {"lineage", check_lineage}, {"weights", check_adapter}, {"base", check_base}};
constexpr Check kGgufChecks[] = {{"weights", check_gguf_weights},
                                 {"tokenizer", check_gguf_tokenizer},
                                 {"chat_template", check_gguf_template}};

// Throws for what is none of the three.
std::span<const Check> checks_for(const fs::path& path) {
  if (fs::is_regular_file(path)) return kGgufChecks;
  if (fs::exists(path / "adapter_config.json") && !fs::exists(path / "config.json"))
    return kAdapterChecks;
  require_model_folder(path);
  return kModelChecks;
}

int run_verify(const CommandLine& line) {
  const fs::path folder = resolve_model(line.only("DIR"));
  Json results = Json::object();
  std::string failed;
  for (const Check& check : checks_for(folder)) {
    try {
      results[check.name] = {{"ok", true}, {"detail", check.run(folder)}};
    } catch (const Error& error) {
      results[check.name] = {{"ok", false}, {"detail", error.what()}};
      failed += (failed.empty() ? "" : ", ") + std::string(check.name);
    }
  }
  if (!print_json_if_asked(line, {{"folder", folder.string()}, {"checks", results}})) {
    for (const auto& [name, result] : results.items()) {
      std::string title = (result["ok"] ? "ok      " : "FAILED  ") + name;
      title.resize(23, ' ');
      std::cout << title << result["detail"].get<std::string>() << "\n";
    }
  }
  if (failed.empty()) return kExitOk;
  throw Error({.what = "is not whole", .where = folder.string(), .found = failed + " failed"});
}

}  // namespace

Command model_verify_command() {
  return {
      "model verify",
      "check a model, adapter or GGUF file: digests, tensors, finite values, tokenizer, template",
      "DIR",
      nullptr,
      nullptr,
      run_verify,
      Arguments::kOne};
}

}  // namespace gradus
