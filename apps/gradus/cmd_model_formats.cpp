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

Json row(const std::string& format, const std::string& read, const std::string& written) {
  return {{"format", format}, {"read", read}, {"written", written}};
}

Json format_rows() {
  const auto name = [](const auto& entry) { return entry.name; };
  Json rows{row("safetensors, one file or shards with an index", "F32, F16, BF16 weights",
                "by every training command and `model import`")};
  for (const QuantizedFormat& format : quantized_formats())
    rows.push_back(row(format.name, format.read, format.written));
  rows.push_back(row("GGUF v2 and v3, one file or split", listed(gguf_types(), name),
                     "`model convert`: " + listed(gguf_file_types(), name)));
  rows.push_back(row("GGUF, other types",
                     "refused by name: " + listed(gguf_types_not_read(), std::identity{}), ""));
  rows.push_back(
      row("PyTorch pickles (`.bin`, `.pt`)", "refused, with the command that converts them", ""));
  return rows;
}

Json architecture_rows() {
  Json rows = Json::array();
  for (const GgufArchitecture& architecture : gguf_architectures())
    rows.push_back({{"architecture", architecture.name}, {"model_type", architecture.model_type}});
  return rows;
}

void print_tables(const Json& formats, const Json& architectures) {
  const auto text = [](const Json& value) { return value.get<std::string>(); };
  std::cout << "| format | read | written |\n| --- | --- | --- |\n";
  for (const Json& entry : formats)
    std::cout << "| " << text(entry["format"]) << " | " << text(entry["read"]) << " | "
              << text(entry["written"]) << " |\n";
  std::cout << "\n| GGUF architecture | `model_type` |\n| --- | --- |\n";
  for (const Json& entry : architectures)
    std::cout << "| `" << text(entry["architecture"]) << "` | `" << text(entry["model_type"])
              << "` |\n";
}

int run_formats(const CommandLine& line) {
  const Json formats = format_rows(), architectures = architecture_rows();
  const Json document{{"formats", formats}, {"gguf_architectures", architectures}};
  if (!print_json_if_asked(line, document)) print_tables(formats, architectures);
  return 0;
}

}  // namespace

Command model_formats_command() {
  return {"model formats",
          "list the formats of weights that can be read and written",
          "",
          nullptr,
          nullptr,
          run_formats,
          Arguments::kNone};
}

}  // namespace gradus
