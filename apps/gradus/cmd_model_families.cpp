// SPDX-License-Identifier: Apache-2.0
// gradus model families: the table of docs/models.md.
#include <iostream>

#include "commands.h"
#include "model/families/family.h"

namespace gradus {
namespace {

int run_families(const CommandLine& line) {
  Json list = Json::array();
  for (const Family& family : families())
    list.push_back({{"model_type", family.model_type},
                    {"models", family.models},
                    {"tested_against", family.reference}});
  if (print_json_if_asked(line, list)) return 0;
  std::cout << "| model_type | models | tested against |\n| --- | --- | --- |\n";
  for (const Family& family : families())
    std::cout << "| `" << family.model_type << "` | " << family.models << " | " << family.reference
              << " |\n";
  return 0;
}

}  // namespace

Command model_families_command() {
  return {"model families",
          "list the families of models that can be loaded",
          "",
          nullptr,
          nullptr,
          run_families,
          Arguments::kNone};
}

}  // namespace gradus
