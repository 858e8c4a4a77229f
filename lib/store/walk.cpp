// SPDX-License-Identifier: Apache-2.0
#include "store/walk.h"

#include <cmath>
#include <map>

#include "base/system.h"

namespace gradus {
namespace {

constexpr int kMaxChain = 128;  // more than one lineage.json may hold
constexpr int kMaxModels = 10'000;

std::string text_of(const Json& record, const char* key, const std::string& fallback) {
  const bool known = record.is_object() && record.contains(key) && record.at(key).is_string();
  return known ? printable(record.at(key).get<std::string>()) : fallback;
}

ContentState state_of(const fs::path& path, const std::string& digest, DigestCache& cache) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return ContentState::kAbsent;
  return cache.path(path) == digest ? ContentState::kOk : ContentState::kChanged;
}

// A parent without an embedded summary may have gained a lineage since.
Json own_record(const LineageStep& step) {
  if (step.state != ContentState::kOk || !has_lineage(step.path)) return nullptr;
  return lineage_summary(read_lineage(step.path));
}

// Bounds what files can be made to say: two folders, each named as the other's parent.
class Walker {
 public:
  explicit Walker(DigestCache& cache) : cache_(cache) {}

  std::vector<LineageStep> parents(const Json& record, const fs::path& folder, int depth = 1) {
    std::vector<LineageStep> steps;
    if (!record.is_object() || !record.contains("parents")) return steps;
    for (const Json& parent : record.at("parents")) {
      require_room(folder, depth);
      LineageStep step{.role = parent.at("role").get<std::string>(),
                       .path = (folder / parent.at("path").get<std::string>()).lexically_normal(),
                       .hub = text_of(parent, "hub", ""),
                       .digest = parent.at("digest").get<std::string>(),
                       .record = parent.value("lineage", Json(nullptr))};
      step.state = state_of(step.path, step.digest, cache_);
      if (step.record.is_null()) step.record = own_record(step);
      step.parents = parents(step.record, step.path, depth + 1);
      steps.push_back(std::move(step));
    }
    return steps;
  }

 private:
  void require_room(const fs::path& folder, int depth) {
    if (depth <= kMaxChain && ++models_ <= kMaxModels) return;
    throw Error({.what = "has too long a chain of parents",
                 .where = printable(folder.string(), 200),
                 .expected = cat("at most ", kMaxChain, ", and ", kMaxModels, " models in all"),
                 .hint = "do two lineages name each other?"});
  }

  DigestCache& cache_;
  int models_ = 0;
};

std::string data_line(const Json& data) {
  const std::string licence = text_of(data, "licence", "");
  const double share =
      data.value("share", Json(nullptr)).is_number() ? data["share"].get<double>() : 0;
  return cat("data: ", text_of(data, "name", "?"), ", ",
             with_commas(data.value("tokens", int64_t{0})), " tokens, ",
             std::lround(share * 1000) / 10.0, " %, ",
             licence.empty() ? "licence unknown" : licence);
}

std::string head_line(const LineageStep& step) {
  const std::string kind = text_of(step.record, "kind", step.role == "source" ? "file" : "unknown");
  const std::string name = step.hub.empty() ? printable(step.path.string(), 200) : step.hub;
  return cat(step.role, ": ", name, "  ", kind, "  ", step.digest.substr(0, 12), "  ",
             to_string(step.state));
}

void render(const LineageStep& step, const std::string& indent, std::string& out) {
  const std::string below = indent + (step.parents.empty() ? "     " : "  │  ");
  if (step.record.is_object() && step.record.contains("data")) {
    for (const Json& data : step.record.at("data")) out += below + data_line(data) + "\n";
  }
  for (size_t i = 0; i < step.parents.size(); ++i) {
    const bool last = i + 1 == step.parents.size();
    out += indent + (last ? "  └─ " : "  ├─ ") + head_line(step.parents[i]) + "\n";
    render(step.parents[i], indent + (last ? "     " : "  │  "), out);
  }
}

}  // namespace

std::string to_string(ContentState state) {
  switch (state) {
    case ContentState::kOk:
      return "ok";
    case ContentState::kChanged:
      return "changed";
    case ContentState::kAbsent:
      return "absent";
  }
  throw std::logic_error("ContentState without a name");
}

LineageStep walk_lineage(const fs::path& folder, DigestCache& cache) {
  const Lineage lineage = read_lineage(folder);
  LineageStep root{.role = "model", .path = folder, .digest = lineage.digest};
  root.state = state_of(folder, lineage.digest, cache);
  root.record = lineage_json(lineage);
  root.parents = Walker(cache).parents(root.record, folder);
  return root;
}

std::string render_lineage(const LineageStep& step) {
  std::string out = head_line(step) + "\n";
  render(step, "", out);
  return out;
}

Json lineage_tree_json(const LineageStep& step) {
  Json parents = Json::array();
  for (const LineageStep& parent : step.parents) parents.push_back(lineage_tree_json(parent));
  Json record = step.record;
  if (record.is_object()) record.erase("parents");
  return {{"role", step.role},
          {"path", step.path.string()},
          {"hub", step.hub.empty() ? Json(nullptr) : Json(step.hub)},
          {"digest", step.digest},
          {"state", to_string(step.state)},
          {"lineage", record},
          {"parents", parents}};
}

Verification verify_folder(const fs::path& folder) {
  const Lineage lineage = read_lineage(folder);
  const std::vector<FileDigest> found = DigestCache().files(folder);
  Verification result{.recorded = lineage.digest, .found = list_digest(found), .changes = {}};
  std::map<std::string, std::string> now;
  for (const FileDigest& file : found) now[file.name] = file.sha256;
  for (const FileDigest& file : lineage.files) {
    const auto entry = now.find(file.name);
    if (entry == now.end()) {
      result.changes.push_back(printable(file.name) + ": missing");
    } else if (entry->second != file.sha256) {
      result.changes.push_back(printable(file.name) + ": content differs");
    }
    if (entry != now.end()) now.erase(entry);
  }
  for (const auto& [name, sha] : now) result.changes.push_back(printable(name) + ": added");
  return result;
}

}  // namespace gradus
