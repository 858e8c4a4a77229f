// SPDX-License-Identifier: Apache-2.0
#include "store/inspect/diff.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/digest.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/system.h"
#include "data/text_tools.h"
#include "store/inspect/contents.h"
#include "store/lineage.h"

namespace gradus {
namespace {

constexpr int64_t kChunk = 1 << 20;  // values expanded at a time
constexpr size_t kShown = 40;        // tensors named in a text

std::string shape_text(const std::vector<int64_t>& shape) { return Json(shape).dump(); }

struct Largest {
  double absolute = 0, relative = 0;
  int64_t differing = 0;

  void add(float a, float b) {
    if (a == b || (std::isnan(a) && std::isnan(b))) return;
    ++differing;
    const double gap = std::abs(static_cast<double>(a) - static_cast<double>(b));
    const double size =
        std::max(std::abs(static_cast<double>(a)), std::abs(static_cast<double>(b)));
    const bool finite = std::isfinite(gap);
    absolute = std::max(absolute, finite ? gap : std::numeric_limits<double>::infinity());
    relative = std::max(relative, finite ? gap / size : std::numeric_limits<double>::infinity());
  }
};

Largest compare_values(const ContentTensor& a, const ContentTensor& b) {
  const int64_t columns = std::max<int64_t>(a.row_elements(), 1), rows = a.elements() / columns;
  const int64_t step = std::max<int64_t>(kChunk / columns, 1);
  std::vector<float> left, right;
  Largest largest;
  for (int64_t row = 0; row < rows; row += step) {
    const auto count = static_cast<size_t>(std::min(step, rows - row) * columns);
    left.resize(count);
    right.resize(count);
    expand_rows(a, row, left);
    expand_rows(b, row, right);
    for (size_t i = 0; i < count; ++i) largest.add(left[i], right[i]);
  }
  return largest;
}

bool same_bytes(const ContentTensor& a, const ContentTensor& b) {
  return a.dtype == b.dtype && a.bytes.size() == b.bytes.size() &&
         (a.bytes.empty() || std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0);
}

std::optional<TensorDifference> compare(const ContentTensor& a, const ContentTensor& b) {
  TensorDifference result{.name = a.name, .what = {}};
  if (a.shape != b.shape) {
    result.what = "shape " + shape_text(a.shape) + " and " + shape_text(b.shape);
    return result;
  }
  if (same_bytes(a, b)) return std::nullopt;
  result.what = a.dtype == b.dtype ? "values" : "dtype " + a.dtype + " and " + b.dtype;
  if (!is_numeric(a) || !is_numeric(b)) return result;
  const Largest largest = compare_values(a, b);
  result.largest_absolute = largest.absolute;
  result.largest_relative = largest.relative;
  result.differing = largest.differing;
  return result;
}

void compare_tensors(const ModelContents& a, const ModelContents& b, ModelDifference& result) {
  std::vector<std::pair<const ContentTensor*, const ContentTensor*>> pairs;
  for (const ContentTensor& tensor : a.tensors) {
    const ContentTensor* other = b.find(tensor.name);
    if (other) pairs.emplace_back(&tensor, other);
    if (!other) result.tensors.push_back({.name = tensor.name, .what = "only in the first"});
  }
  for (const ContentTensor& tensor : b.tensors) {
    if (!a.find(tensor.name))
      result.tensors.push_back({.name = tensor.name, .what = "only in the second"});
  }
  std::vector<std::optional<TensorDifference>> found(pairs.size());
  parallel_for(static_cast<int64_t>(pairs.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      found[i] = compare(*pairs[i].first, *pairs[i].second);
  });
  for (auto& difference : found) {
    if (difference) result.tensors.push_back(std::move(*difference));
    if (!difference) ++result.equal_tensors;
  }
  std::stable_sort(result.tensors.begin(), result.tensors.end(),
                   [](const auto& x, const auto& y) { return x.name < y.name; });
}

// Versions of transformers spell the same in several ways; this is the newest.
std::string newest_name(const std::string& key) {
  if (key == "torch_dtype") return "dtype";
  for (const std::string part : {"rope_scaling.", "rope_parameters."}) {
    if (!key.starts_with(part)) continue;
    const std::string name = key.substr(part.size());
    if (name == "rope_theta" || name == "partial_rotary_factor") return name;
    return "rope_parameters." + (name == "type" ? "rope_type" : name);
  }
  return key;
}

// Null means what absence means.
void flatten(const Json& value, const std::string& key, std::map<std::string, Json>& flat) {
  if (!value.is_object() || value.empty()) {
    const std::string name = newest_name(key);
    const bool usual = name == "rope_parameters.rope_type" && value == "default";
    if (!value.is_null() && !usual) flat[name] = value;
    return;
  }
  for (const auto& [name, member] : value.items())
    flatten(member, key.empty() ? name : key + "." + name, flat);
}

std::string value_text(const std::map<std::string, Json>& flat, const std::string& key) {
  const auto entry = flat.find(key);
  if (entry == flat.end()) return "absent";
  return printable(entry->second.dump(-1, ' ', false, Json::error_handler_t::replace), 120);
}

void compare_configs(const Json& a, const Json& b, ModelDifference& result) {
  std::map<std::string, Json> left, right, all;
  if (a.is_object()) flatten(a, "", left);
  if (b.is_object()) flatten(b, "", right);
  for (auto* flat : {&left, &right}) {
    flat->erase("transformers_version");
    flat->erase("_name_or_path");
    all.insert(flat->begin(), flat->end());
  }
  for (const auto& [key, value] : all) {
    const auto in_left = left.find(key), in_right = right.find(key);
    if (in_left != left.end() && in_right != right.end() && in_left->second == in_right->second)
      continue;
    result.config.push_back(printable(key) + ": " + value_text(left, key) + " and " +
                            value_text(right, key));
  }
}

void compare_text(const fs::path& a, const fs::path& b, ModelDifference& result) {
  if (!fs::is_directory(a) || !fs::is_directory(b)) return;
  DigestCache digests;
  const auto note = [&](const char* what, const std::string& left, const std::string& right) {
    if (left == right) return;
    const std::string how = left.empty()    ? "only in the second"
                            : right.empty() ? "only in the first"
                                            : "its files differ";
    result.text.push_back(cat(what, ": ", how));
  };
  note("tokenizer", tokenizer_digest(a, digests), tokenizer_digest(b, digests));
  note("chat template", template_digest(a, digests), template_digest(b, digests));
}

Json number_or_null(const std::optional<double>& number) {
  return number && std::isfinite(*number) ? Json(*number) : Json(nullptr);
}

// Names and keys of one kind mean nothing to another.
void check_kinds(const ModelContents& a, const ModelContents& b) {
  if (a.kind == b.kind) return;
  const auto is_one = [&](ContentsKind kind) { return a.kind == kind || b.kind == kind; };
  throw Error(
      {.what = is_one(ContentsKind::kAdapter) ? "an adapter can be compared with an adapter only"
                                              : "a GGUF file can be compared with a GGUF file only",
       .where = a.path.string() + " and " + b.path.string(),
       .hint = is_one(ContentsKind::kAdapter) ? "gradus model merge makes a model of it"
                                              : "gradus model import makes a model folder of it"});
}

}  // namespace

ModelDifference diff_models(const fs::path& first, const fs::path& second) {
  const ModelContents a = open_contents(first), b = open_contents(second);
  check_kinds(a, b);
  ModelDifference result;
  const bool both_gguf = a.kind == ContentsKind::kGguf && b.kind == ContentsKind::kGguf;
  compare_configs(both_gguf ? a.metadata : a.config, both_gguf ? b.metadata : b.config, result);
  compare_tensors(a, b, result);
  compare_text(first, second, result);
  return result;
}

Json diff_json(const ModelDifference& difference) {
  Json tensors = Json::array();
  for (const TensorDifference& tensor : difference.tensors)
    tensors.push_back({{"name", tensor.name},
                       {"what", tensor.what},
                       {"largest_absolute", number_or_null(tensor.largest_absolute)},
                       {"largest_relative", number_or_null(tensor.largest_relative)},
                       {"differing_values", tensor.differing}});
  return {{"equal", difference.equal()},
          {"config", difference.config},
          {"tensors", tensors},
          {"equal_tensors", difference.equal_tensors},
          {"text", difference.text}};
}

std::string diff_text(const ModelDifference& difference) {
  std::string out;
  for (const std::string& line : difference.config) out += "config  " + line + "\n";
  for (const std::string& line : difference.text) out += "text    " + line + "\n";
  size_t shown = 0;
  for (const TensorDifference& tensor : difference.tensors) {
    if (++shown > kShown) break;
    out += "tensor  " + printable(tensor.name, 200) + ": " + tensor.what;
    if (tensor.largest_absolute)
      out += cat(", ", with_commas(tensor.differing), " values differ, by at most ",
                 *tensor.largest_absolute, " (relative ", *tensor.largest_relative, ")");
    out += "\n";
  }
  if (difference.tensors.size() > kShown)
    out += cat("… and ", difference.tensors.size() - kShown, " more tensors; --json lists all\n");
  return out + cat(difference.equal() ? "equal: " : "", with_commas(difference.equal_tensors),
                   " tensors are equal",
                   difference.tensors.empty()
                       ? ""
                       : cat(", ", with_commas(static_cast<int64_t>(difference.tensors.size())),
                             " differ"),
                   "\n");
}

}  // namespace gradus
