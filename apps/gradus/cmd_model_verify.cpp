// SPDX-License-Identifier: Apache-2.0
// gradus model verify: whether a model folder is whole, by every check there is.
#include <functional>
#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "data/text_tools.h"
#include "hub/hub.h"
#include "model/folder.h"
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

struct Check {
  const char* name;
  std::string (*run)(const fs::path&);
};
constexpr Check kChecks[] = {{"lineage", check_lineage},
                             {"weights", check_weights},
                             {"tokenizer", check_tokenizer},
                             {"chat_template", check_template}};

int run_verify(const CommandLine& line) {
  const fs::path folder = resolve_model(line.only("DIR"));
  Json results = Json::object();
  std::string failed;
  for (const Check& check : kChecks) {
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
  return {"model verify",
          "check a model folder: digests, tensors, finite values, tokenizer, chat template",
          "DIR",
          nullptr,
          nullptr,
          run_verify,
          Arguments::kOne};
}

}  // namespace gradus
