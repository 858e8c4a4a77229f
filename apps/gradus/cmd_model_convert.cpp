// SPDX-License-Identifier: Apache-2.0
// gradus model convert: a model folder in another format.
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "commands.h"
#include "hub/hub.h"
#include "model/gguf/export.h"
#include "recipe_command.h"
#include "store/lineage.h"

namespace gradus {
namespace {

// The model's licence where its lineage names exactly one.
std::string licence_of(const fs::path& folder) {
  if (!has_lineage(folder)) return {};
  std::set<std::string> licences;
  for (const LineageLicence& entry : read_lineage(folder).licences) licences.insert(entry.licence);
  licences.erase("");
  return licences.size() == 1 ? *licences.begin() : std::string();
}

// The folder's own name, also for "runs/l2/" and ".".
std::string name_of(const fs::path& folder) {
  const fs::path full = fs::canonical(folder);
  return full.filename().string();
}

void warn_of_rounding(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const Json config = read_json(file);
  const auto dtype = [&](const char* key) {
    return json_get<std::string>(config, key, "", file.string());
  };
  for (const char* name : {"float32", "float16"}) {
    if (dtype("dtype") != name && dtype("torch_dtype") != name) continue;
    log_warning("convert", cat(name, " weights are rounded to BF16; --type ",
                               std::string_view(name) == "float32" ? "F32" : "F16", " keeps them"));
  }
}

int run_convert(const CommandLine& line) {
  const fs::path out = line.require("--out");
  const std::string format = line.get("--format", "gguf");
  if (format != "gguf")
    throw UsageError("format '" + printable(format) + "' is not known", "--format gguf");
  refuse_existing(out);
  const fs::path folder = resolve_model(line.only("DIR"));
  if (!fs::is_directory(folder))
    throw Error({.what = "is not a model folder", .where = folder.string()});
  if (!line.has("--type") && fs::exists(folder / "config.json")) warn_of_rounding(folder);
  const GgufExportOptions options{.type = line.get("--type", "BF16"),
                                  .name = line.get("--name", name_of(folder)),
                                  .licence = licence_of(folder)};
  export_gguf(folder, out, options);
  print_json_if_asked(
      line, Json{{"file", out.string()}, {"type", options.type}, {"bytes", fs::file_size(out)}});
  return 0;
}

std::vector<Flag> convert_flags() {
  return {{"--out", "FILE", "the file to write (required; must not exist)"},
          {"--format", "FORMAT", "gguf (default)"},
          {"--type", "TYPE",
           "F32, F16, BF16 (default), Q8_0, Q4_0, Q4_K_M, Q5_K_M or Q6_K, as in llama.cpp"},
          {"--name", "NAME", "the name inside the file (default: the folder's)"}};
}

}  // namespace

Command model_convert_command() {
  return {"model convert",
          "turn a Hugging Face folder into a GGUF file",
          "DIR --out FILE.gguf [--type TYPE]",
          convert_flags,
          nullptr,
          run_convert,
          Arguments::kOne};
}

}  // namespace gradus
