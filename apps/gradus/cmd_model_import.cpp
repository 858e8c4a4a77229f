// SPDX-License-Identifier: Apache-2.0
// gradus model import: a GGUF file becomes a Hugging Face folder.
#include "base/files.h"
#include "commands.h"
#include "hub/hub.h"
#include "model/formats/gguf.h"
#include "model/gguf/import.h"
#include "store/lineage.h"

namespace gradus {
namespace {

int run_import(const CommandLine& line) {
  const std::string dtype = line.one_of("--dtype", kDtypeNames, "bfloat16");
  const fs::path out = line.require("--out"), file = resolve_model(line.only("FILE.gguf"));
  const GgufFile gguf(file);
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
