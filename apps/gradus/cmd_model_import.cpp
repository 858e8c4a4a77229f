// SPDX-License-Identifier: Apache-2.0
// gradus model import: a GGUF file becomes a Hugging Face folder.
#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "commands.h"
#include "hub/hub.h"
#include "model/formats/gguf.h"
#include "model/gguf/import.h"
#include "store/lineage.h"

namespace gradus {
namespace {

// Where the weights, as the largest of them shows, have more precision than the default dtype.
void warn_of_rounding(const GgufFile& gguf) {
  const auto& tensors = gguf.tensors();
  const auto largest = std::max_element(
      tensors.begin(), tensors.end(), [](auto& a, auto& b) { return a.elements() < b.elements(); });
  if (largest == tensors.end()) return;
  if (largest->type == GgufType::kF32)
    log_warning("import", "F32 weights are rounded to bfloat16; --dtype float32 keeps them");
  if (largest->type == GgufType::kF16)
    log_warning("import", "F16 weights are rounded to bfloat16; --dtype float16 keeps them");
}

int run_import(const CommandLine& line) {
  const std::string dtype = line.one_of("--dtype", kDtypeNames, "bfloat16");
  const fs::path out = line.require("--out"), file = resolve_model(line.only("FILE.gguf"));
  const GgufFile gguf(file);
  if (!line.has("--dtype")) warn_of_rounding(gguf);
  const auto licence = json_get<std::string>(gguf.metadata(), "general.license", "", file.string());
  AtomicFolder folder(out);
  import_gguf(file, folder.path(), dtype);
  DigestCache digests;
  LineageBuilder lineage(LineageKind::kImported, digests);
  for (const fs::path& part : gguf.paths()) lineage.source(part, licence);
  lineage.recipe({{"dtype", dtype}}).write(folder.path());
  folder.commit();
  print_json_if_asked(line, Json{{"model", out.string()}});
  return 0;
}

std::vector<Flag> import_flags() {
  return {{"--out", "DIR", "the Hugging Face folder to write (required; must not exist)"},
          {"--dtype", "DTYPE", "float32, bfloat16 (default) or float16"}};
}

}  // namespace

Command model_import_command() {
  return {"model import",
          "turn a GGUF file into a Hugging Face folder",
          "FILE.gguf --out DIR",
          import_flags,
          nullptr,
          run_import,
          Arguments::kOne};
}

}  // namespace gradus
