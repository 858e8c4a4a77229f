// SPDX-License-Identifier: Apache-2.0
#include "store/licence.h"

#include <algorithm>
#include <array>
#include <fstream>

#include "base/error.h"

namespace gradus {
namespace {

constexpr size_t kStartBytes = 64 << 10;  // of a file that may be long

std::string start_of(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return "";
  std::ifstream file(path, std::ios::binary);
  std::string text(kStartBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string plain_value(std::string_view value) {
  const char* around = " \t\"'[]";
  const size_t start = value.find_first_not_of(around);
  if (start == std::string_view::npos) return "";
  return printable(value.substr(start, value.find_last_not_of(around) - start + 1));
}

struct LicenceText {
  const char* phrase;
  const char* name;  // as in the hub's list
};
constexpr std::array kTexts = {
    LicenceText{"Apache License", "apache-2.0"},
    LicenceText{"MIT License", "mit"},
    LicenceText{"Permission is hereby granted, free of charge", "mit"},
    LicenceText{"LLAMA 2 COMMUNITY LICENSE", "llama2"},
    LicenceText{"LLAMA 3.1 COMMUNITY LICENSE", "llama3.1"},
    LicenceText{"LLAMA 3.2 COMMUNITY LICENSE", "llama3.2"},
    LicenceText{"LLAMA 3.3 COMMUNITY LICENSE", "llama3.3"},
    LicenceText{"LLAMA 3 COMMUNITY LICENSE", "llama3"},
    LicenceText{"Gemma Terms of Use", "gemma"},
    LicenceText{"BSD 3-Clause", "bsd-3-clause"},
    LicenceText{"GNU AFFERO GENERAL PUBLIC LICENSE", "agpl-3.0"},
    LicenceText{"GNU GENERAL PUBLIC LICENSE", "gpl"},
};

std::string licence_of_text(std::string_view text) {
  const std::string_view start = text.substr(0, 2000);
  for (const LicenceText& known : kTexts) {
    const std::string_view phrase = known.phrase;
    const auto same = [](unsigned char a, unsigned char b) {
      return std::tolower(a) == std::tolower(b);
    };
    if (std::search(start.begin(), start.end(), phrase.begin(), phrase.end(), same) != start.end())
      return known.name;
  }
  return "";
}

}  // namespace

std::string readme_licence(std::string_view readme) {
  if (take_line(readme) != "---") return "";
  std::string licence, name;
  while (!readme.empty()) {
    std::string_view line = take_line(readme);
    if (line == "---") break;
    if (line.starts_with("license:")) {
      licence = plain_value(line.substr(8));
      // A list: its first entry is on the next line.
      if (licence.empty() && readme.starts_with("- "))
        licence = plain_value(take_line(readme).substr(2));
    }
    if (line.starts_with("license_name:")) name = plain_value(line.substr(13));
  }
  return licence == "other" && !name.empty() ? name : licence;
}

std::string folder_licence(const fs::path& folder) {
  const std::string licence = readme_licence(start_of(folder / "README.md"));
  if (!licence.empty()) return licence;
  for (const char* name : {"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"}) {
    const std::string known = licence_of_text(start_of(folder / name));
    if (!known.empty()) return known;
  }
  return "";
}

}  // namespace gradus
