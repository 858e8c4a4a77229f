// SPDX-License-Identifier: Apache-2.0
#include "store/lineage.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/hash.h"
#include "base/system.h"
#include "data/text_tools.h"
#include "hub/reference.h"
#include "store/licence.h"

namespace gradus {
namespace {

constexpr uintmax_t kMaxLineageBytes = 64 << 20;

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// One writer at a time. The folder itself is locked: lineage.json is replaced by each write.
class WriteTurn {
 public:
  explicit WriteTurn(const fs::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0)
      throw Error({.what = cat("cannot open: ", std::strerror(errno)), .where = folder.string()});
    while (::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~WriteTurn() { ::close(descriptor_); }
  WriteTurn(const WriteTurn&) = delete;
  WriteTurn& operator=(const WriteTurn&) = delete;

 private:
  int descriptor_;
};

void put_evaluation(std::vector<Json>& evaluations, Json evaluation) {
  const std::string name = json_get<std::string>(evaluation, "name", "evaluation");
  std::erase_if(evaluations, [&](const Json& other) { return other.at("name") == name; });
  if (!evaluation.contains("created")) evaluation["created"] = utc_now();
  evaluations.push_back(std::move(evaluation));
}

void put_gate(std::vector<LineageGate>& gates, const LineageGate& gate) {
  std::erase_if(gates, [&](const LineageGate& other) { return other.name == gate.name; });
  gates.push_back(gate);
}

std::string relative_to(const fs::path& folder, const fs::path& target) {
  return fs::weakly_canonical(target)
      .lexically_relative(fs::weakly_canonical(folder))
      .generic_string();
}

}  // namespace

bool has_lineage(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "lineage.json", ignored);
}

Lineage read_lineage(const fs::path& folder) {
  const fs::path path = folder / "lineage.json";
  if (!has_lineage(folder))
    throw Error({.what = "has no lineage.json",
                 .where = folder.string(),
                 .hint = "only what gradus wrote has one"});
  if (fs::file_size(path) > kMaxLineageBytes)
    throw Error({.what = "is too large for a lineage",
                 .where = path.string(),
                 .expected = "at most " + human_bytes(kMaxLineageBytes)});
  return lineage_from_json(read_json(path), path.string());
}

void write_lineage(const fs::path& folder, const Lineage& lineage) {
  write_json(folder / "lineage.json", lineage_json(lineage));
}

std::string template_digest(const fs::path& folder, DigestCache& cache) {
  std::error_code ignored;
  const fs::path jinja = folder / "chat_template.jinja", config = folder / "tokenizer_config.json";
  if (fs::is_regular_file(jinja, ignored)) return cache.file(jinja);
  if (!fs::is_regular_file(config, ignored)) return "";
  const Json json = read_json(config);
  if (!json.is_object() || !json.contains("chat_template")) return "";
  const Json& text = json.at("chat_template");
  return sha256_hex(text.is_string() ? text.get<std::string>() : text.dump());
}

void append_evaluation(const fs::path& folder, const Json& evaluation) {
  const WriteTurn turn(folder);
  Lineage lineage = read_lineage(folder);
  put_evaluation(lineage.evaluations, evaluation);
  write_lineage(folder, lineage);
}

void append_gates(const fs::path& folder, const std::vector<LineageGate>& gates) {
  const WriteTurn turn(folder);
  Lineage lineage = read_lineage(folder);
  for (const LineageGate& gate : gates) put_gate(lineage.gates, gate);
  write_lineage(folder, lineage);
}

LineageBuilder& LineageBuilder::parent(const std::string& role, const fs::path& folder) {
  LineageParent parent{
      .role = role, .digest = cache_.folder(folder), .path = {}, .hub = hub_source(folder)};
  if (has_lineage(folder)) {
    const Lineage own = read_lineage(folder);
    if (own.digest != parent.digest)
      throw Error({.what = "the files are not the ones that its lineage.json describes",
                   .where = folder.string(),
                   .expected = own.digest,
                   .found = parent.digest,
                   .hint = "'gradus store verify' names what changed"});
    parent.lineage = lineage_summary(own);
    for (const LineageLicence& licence : own.licences) add_licence(licence);
  } else {
    add_licence({role, folder_licence(folder)});  // "": nothing is known of it, and that is said
  }
  lineage_.parents.push_back(std::move(parent));
  parent_paths_.push_back(fs::weakly_canonical(folder));
  return *this;
}

LineageBuilder& LineageBuilder::source(const fs::path& file, const std::string& licence) {
  lineage_.parents.push_back(
      {.role = "source", .digest = cache_.file(file), .path = {}, .hub = hub_source(file)});
  parent_paths_.push_back(fs::weakly_canonical(file));
  add_licence({file.filename().string(), licence});
  return *this;
}

LineageBuilder& LineageBuilder::data(LineageData data) {
  add_licence({data.name, data.licence});
  lineage_.data.push_back(std::move(data));
  return *this;
}

LineageBuilder& LineageBuilder::recipe(Json recipe) {
  lineage_.recipe = std::move(recipe);
  return *this;
}

LineageBuilder& LineageBuilder::training(Json training) {
  lineage_.training = std::move(training);
  return *this;
}

LineageBuilder& LineageBuilder::gate(LineageGate gate) {
  put_gate(lineage_.gates, gate);
  return *this;
}

LineageBuilder& LineageBuilder::evaluation(Json evaluation) {
  put_evaluation(lineage_.evaluations, std::move(evaluation));
  return *this;
}

void LineageBuilder::add_licence(LineageLicence licence) {
  auto& all = lineage_.licences;
  if (std::find(all.begin(), all.end(), licence) == all.end()) all.push_back(std::move(licence));
}

Lineage LineageBuilder::write(const fs::path& folder) {
  lineage_.files = cache_.files(folder);
  lineage_.digest = list_digest(lineage_.files);
  lineage_.created = utc_now();
  lineage_.program_version = program_version();
  lineage_.tokenizer_digest = tokenizer_digest(folder, cache_);
  lineage_.template_digest = template_digest(folder, cache_);
  for (size_t i = 0; i < parent_paths_.size(); ++i) {
    lineage_.parents[i].path = relative_to(folder, parent_paths_[i]);
  }
  write_lineage(folder, lineage_);
  return lineage_;
}

}  // namespace gradus
