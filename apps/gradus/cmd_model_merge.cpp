// SPDX-License-Identifier: Apache-2.0
// gradus model merge: a LoRA adapter becomes part of its base.
#include "commands.h"
#include "hub/hub.h"
#include "model/adapter.h"
#include "model/folder.h"
#include "store/lineage.h"

namespace gradus {
namespace {

int run_merge(const CommandLine& line) {
  const fs::path out = line.require("--out"), adapter = resolve_model(line.only("ADAPTER_DIR")),
                 base = resolve_model(line.require("--base"));
  AtomicFolder folder(out);
  Transformer model = load_model(base, {});
  attach_adapter(model, read_adapter(adapter));
  merge_lora(model);
  save_model(folder.path(), model);
  copy_text_files(base, folder.path());
  DigestCache digests;
  LineageBuilder(LineageKind::kMerge, digests)
      .parent("base", base)
      .parent("adapter", adapter)
      .write(folder.path());
  folder.commit();
  print_json_if_asked(line, Json{{"model", out.string()}});
  return 0;
}

std::vector<Flag> merge_flags() {
  return {{"--base", "DIR", "the model that the adapter was trained on (required)"},
          {"--out", "DIR", "the merged model folder to write (required; must not exist)"}};
}

}  // namespace

Command model_merge_command() {
  return {"model merge",
          "merge a LoRA adapter into its base model",
          "ADAPTER_DIR --base DIR --out DIR",
          merge_flags,
          nullptr,
          run_merge,
          Arguments::kOne};
}

}  // namespace gradus
