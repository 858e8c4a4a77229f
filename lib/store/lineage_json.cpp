// SPDX-License-Identifier: Apache-2.0
// lineage.json in and out. Non-finite numbers (a diverged metric) are written as null.
#include <array>
#include <cmath>

#include "store/lineage.h"

namespace gradus {
namespace {

constexpr const char* kFormat = "gradus-lineage/1";
constexpr int kMaxChain = 64;

struct KindName {
  LineageKind kind;
  const char* name;
};
constexpr std::array kKinds = {KindName{LineageKind::kImported, "imported"},
                               KindName{LineageKind::kPretrainContinue, "pretrain-continue"},
                               KindName{LineageKind::kSft, "sft"},
                               KindName{LineageKind::kDistill, "distill"},
                               KindName{LineageKind::kQuantize, "quantize"},
                               KindName{LineageKind::kMerge, "merge"}};

LineageKind kind_from(const std::string& name, const std::string& where) {
  std::string known;
  for (const KindName& entry : kKinds) {
    if (name == entry.name) return entry.kind;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error({.what = "unknown kind of model",
               .where = where,
               .expected = known,
               .found = "'" + printable(name) + "'"});
}

std::string digest_from(const Json& json, const std::string& key, const std::string& where) {
  const std::string text = json_get<std::string>(json, key, where);
  if (text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos)
    return text;
  throw Error({.what = "key '" + key + "' is not a SHA-256 digest",
               .where = where,
               .expected = "64 hexadecimal digits",
               .found = "'" + printable(text) + "'"});
}

std::string optional_digest(const Json& json, const std::string& key, const std::string& where) {
  if (!json.contains(key) || json.at(key).is_null()) return "";
  return digest_from(json, key, where);
}

// The objects of the list `key`; an absent list is empty.
std::vector<Json> objects(const Json& json, const std::string& key, const std::string& where) {
  if (!json.contains(key) || json.at(key).is_null()) return {};
  const Json& list = json.at(key);
  if (!list.is_array()) json_wrong_type(list, key, "a list", where);
  for (const Json& item : list) {
    if (!item.is_object()) json_wrong_type(item, key, "a list of objects", where);
  }
  return list.get<std::vector<Json>>();
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
double number_from(const Json& json, const std::string& key, const std::string& where) {
  if (json.contains(key) && json.at(key).is_null()) return std::nan("");
  return json_get<double>(json, key, where);
}

Json files_json(const std::vector<FileDigest>& files, const char* name_key) {
  Json list = Json::array();
  for (const FileDigest& file : files) {
    list.push_back({{name_key, file.name}, {"sha256", file.sha256}, {"bytes", file.bytes}});
  }
  return list;
}

std::vector<FileDigest> files_from(const Json& json, const char* name_key,
                                   const std::string& where) {
  std::vector<FileDigest> files;
  for (const Json& file : objects(json, "files", where)) {
    files.push_back({json_get<std::string>(file, name_key, where),
                     digest_from(file, "sha256", where), json_get<int64_t>(file, "bytes", where)});
  }
  return files;
}

Json parents_json(const std::vector<LineageParent>& parents) {
  Json list = Json::array();
  for (const LineageParent& parent : parents) {
    list.push_back({{"role", parent.role},
                    {"digest", parent.digest},
                    {"path", parent.path},
                    {"hub", text_or_null(parent.hub)},
                    {"lineage", parent.lineage}});
  }
  return list;
}

Json data_json(const std::vector<LineageData>& data) {
  Json list = Json::array();
  for (const LineageData& source : data) {
    list.push_back({{"name", source.name},
                    {"files", files_json(source.files, "path")},
                    {"documents", source.documents},
                    {"tokens", source.tokens},
                    {"licence", source.licence},
                    {"share", number(source.share)}});
  }
  return list;
}

Json gates_json(const std::vector<LineageGate>& gates) {
  Json list = Json::array();
  for (const LineageGate& gate : gates) {
    list.push_back({{"name", gate.name},
                    {"metric", gate.metric},
                    {"rule", gate.rule},
                    {"bound", number(gate.bound)},
                    {"value", number(gate.value)},
                    {"passed", gate.passed}});
  }
  return list;
}

Json licences_json(const std::vector<LineageLicence>& licences) {
  Json list = Json::array();
  for (const LineageLicence& licence : licences) {
    list.push_back({{"input", licence.input}, {"licence", licence.licence}});
  }
  return list;
}

LineageData data_from(const Json& json, const std::string& where) {
  return {.name = json_get<std::string>(json, "name", where),
          .files = files_from(json, "path", where),
          .documents = json_get<int64_t>(json, "documents", where),
          .tokens = json_get<int64_t>(json, "tokens", where),
          .licence = json_get<std::string>(json, "licence", where),
          .share = number_from(json, "share", where)};
}

LineageGate gate_from(const Json& json, const std::string& where) {
  return {.name = json_get<std::string>(json, "name", where),
          .metric = json_get<std::string>(json, "metric", where),
          .rule = json_get<std::string>(json, "rule", where),
          .bound = number_from(json, "bound", where),
          .value = number_from(json, "value", where),
          .passed = json_get<bool>(json, "passed", where)};
}

LineageLicence licence_from(const Json& json, const std::string& where) {
  return {json_get<std::string>(json, "input", where),
          json_get<std::string>(json, "licence", where)};
}

// What an embedded summary says besides its parents.
void check_summary(const Json& summary, const std::string& where) {
  for (const Json& data : objects(summary, "data", where)) data_from(data, where);
  for (const Json& gate : objects(summary, "gates", where)) gate_from(gate, where);
  for (const Json& licence : objects(summary, "licences", where)) licence_from(licence, where);
}

LineageParent parent_from(const Json& json, const std::string& where, int depth) {
  if (depth > kMaxChain)
    throw Error({.what = "has too long a chain of parents",
                 .where = where,
                 .expected = cat("at most ", kMaxChain)});
  LineageParent parent{.role = json_get<std::string>(json, "role", where),
                       .digest = digest_from(json, "digest", where),
                       .path = json_get<std::string>(json, "path", where),
                       .hub = json_get<std::string>(json, "hub", "", where),
                       .lineage = json.value("lineage", Json(nullptr))};
  if (parent.lineage.is_null()) return parent;
  if (!parent.lineage.is_object())
    json_wrong_type(parent.lineage, "lineage", "an object or null", where);
  check_summary(parent.lineage, where);
  for (const Json& next : objects(parent.lineage, "parents", where)) {
    parent_from(next, where, depth + 1);
  }
  return parent;
}

void require_format(const Json& json, const std::string& where) {
  const std::string format = json_get<std::string>(json, "format", where);
  if (format == kFormat) return;
  throw Error({.what = "has an unknown format",
               .where = where,
               .expected = kFormat,
               .found = printable(format),
               .hint = "a newer gradus may have written it"});
}

}  // namespace

std::string to_string(LineageKind kind) {
  for (const KindName& entry : kKinds) {
    if (kind == entry.kind) return entry.name;
  }
  throw std::logic_error("LineageKind without a name");
}

Json lineage_json(const Lineage& lineage) {
  return {{"format", kFormat},
          {"kind", to_string(lineage.kind)},
          {"digest", lineage.digest},
          {"created", lineage.created},
          {"program", {{"name", "gradus"}, {"version", lineage.program_version}}},
          {"parents", parents_json(lineage.parents)},
          {"data", data_json(lineage.data)},
          {"licences", licences_json(lineage.licences)},
          {"tokenizer_digest", text_or_null(lineage.tokenizer_digest)},
          {"template_digest", text_or_null(lineage.template_digest)},
          {"recipe", lineage.recipe},
          {"training", lineage.training},
          {"evaluations", lineage.evaluations},
          {"gates", gates_json(lineage.gates)},
          {"files", files_json(lineage.files, "name")}};
}

Json lineage_summary(const Lineage& lineage) {
  Json summary = lineage_json(lineage);
  for (const char* key : {"recipe", "training", "evaluations", "files"}) summary.erase(key);
  return summary;
}

Lineage lineage_from_json(const Json& json, const std::string& where) {
  require_format(json, where);
  Lineage lineage{.kind = kind_from(json_get<std::string>(json, "kind", where), where),
                  .digest = digest_from(json, "digest", where),
                  .files = files_from(json, "name", where),
                  .created = json_get<std::string>(json, "created", where),
                  .program_version = json_get<std::string>(json_get<Json>(json, "program", where),
                                                           "version", where),
                  .recipe = json.value("recipe", Json(nullptr)),
                  .training = json.value("training", Json(nullptr)),
                  .tokenizer_digest = optional_digest(json, "tokenizer_digest", where),
                  .template_digest = optional_digest(json, "template_digest", where),
                  .evaluations = objects(json, "evaluations", where)};
  for (const Json& parent : objects(json, "parents", where))
    lineage.parents.push_back(parent_from(parent, where, 1));
  for (const Json& data : objects(json, "data", where))
    lineage.data.push_back(data_from(data, where));
  for (const Json& evaluation : lineage.evaluations)
    json_get<std::string>(evaluation, "name", where);
  for (const Json& gate : objects(json, "gates", where))
    lineage.gates.push_back(gate_from(gate, where));
  for (const Json& licence : objects(json, "licences", where))
    lineage.licences.push_back(licence_from(licence, where));
  return lineage;
}

}  // namespace gradus
