// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/parallel.h"

namespace gradus {
namespace {

constexpr const char* kFormat = "gradus-digests/1";
// A file this fresh may change again without its time changing: it is not remembered.
constexpr int64_t kFreshNs = 50'000'000;
constexpr int kMaxDepth = 32;  // links to folders are followed, so there may be loops

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

template <size_t N>
bool among(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

int64_t nanoseconds(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string key_of(const fs::path& path) { return fs::absolute(path).lexically_normal().string(); }

// Files and nested model folders below `folder`, as names relative to `root`.
struct Listing {
  std::vector<std::string> files, models;

  void require_room(const fs::path& root) const {
    if (files.size() <= DigestCache::kMaxFolderFiles) return;
    throw Error({.what = "holds too many files to name its content",
                 .where = root.string(),
                 .expected = cat("at most ", DigestCache::kMaxFolderFiles)});
  }
};

void require_shallow(const fs::path& root, int depth) {
  if (depth <= kMaxDepth) return;
  throw Error({.what = cat("is nested deeper than ", kMaxDepth, " folders"),
               .where = printable(root.string(), 200)});
}

void list_folder(const fs::path& root, const fs::path& folder, Listing& listing, int depth = 0) {
  require_shallow(root, depth);
  const bool model = is_model_folder(folder);
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::string relative = entry.path().lexically_relative(root).generic_string();
    if (model ? !is_model_content(name) : is_run_record(name)) continue;
    if (entry.is_directory()) {
      if (model) continue;
      if (is_model_folder(entry.path())) {
        listing.models.push_back(relative);
      } else {
        list_folder(root, entry.path(), listing, depth + 1);
      }
    } else if (entry.is_regular_file()) {
      listing.files.push_back(relative);
    }
    listing.require_room(root);
  }
}

void list_data(const fs::path& root, const fs::path& folder, Listing& listing, int depth = 0) {
  require_shallow(root, depth);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (starts_with(entry.path().filename().string(), ".")) continue;
    if (entry.is_directory()) list_data(root, entry.path(), listing, depth + 1);
    if (entry.is_regular_file())
      listing.files.push_back(entry.path().lexically_relative(root).generic_string());
    listing.require_room(root);
  }
}

}  // namespace

bool is_tokenizer_file(std::string_view name) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "tokenizer.json",    "tokenizer_config.json",
      "tokenizer.model",   "tiktoken.model",
      "spiece.model",      "special_tokens_map.json",
      "added_tokens.json", "vocab.json",
      "vocab.txt",         "merges.txt",
      "tekken.json"};
  return among(name, kNames) || ends_with(name, ".tiktoken") ||
         (starts_with(name, "rwkv_vocab_") && ends_with(name, ".txt"));
}

bool is_model_content(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kNames = {
      "config.json", "generation_config.json", "adapter_config.json", "quantize_config.json"};
  if (starts_with(name, ".")) return false;
  return among(name, kNames) || is_tokenizer_file(name) || ends_with(name, ".safetensors") ||
         ends_with(name, ".gguf") || ends_with(name, ".index.json") ||
         starts_with(name, "chat_template");
}

bool is_model_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "config.json", ignored) ||
         fs::is_regular_file(folder / "adapter_config.json", ignored);
}

bool is_run_record(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kNames = {
      "metrics.jsonl", "checkpoints",      "tensorboard", "recipe.yaml",
      "lineage.json",  "summary.json",     "README.md",   "data_report.json",
      "report.html",   "performance.json", "report.txt",  "report.json"};
  return among(name, kNames) || starts_with(name, ".") || starts_with(name, "events.out.") ||
         ends_with(name, ".log") || name.find(".tmp-") != std::string_view::npos ||
         name.find(".old-") != std::string_view::npos;
}

std::string list_digest(std::vector<FileDigest> files) {
  std::sort(files.begin(), files.end(),
            [](const FileDigest& a, const FileDigest& b) { return a.name < b.name; });
  Hasher hash(HashKind::kSha256);
  for (const FileDigest& file : files) hash.update(file.sha256 + "  " + file.name + "\n");
  return hash.hex();
}

DigestCache::DigestCache(fs::path cache_file) : cache_file_(std::move(cache_file)) { load(); }

DigestCache::Stamp DigestCache::stamp_of(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    throw Error({.what = cat("cannot read: ", std::strerror(errno)), .where = path.string()});
  return {info.st_size, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim), info.st_ino};
}

void DigestCache::load() {
  std::error_code ignored;
  if (!fs::is_regular_file(cache_file_, ignored)) return;
  try {
    const Json document = read_json(cache_file_);
    if (document.at("format") != kFormat) return;
    for (const auto& [path, entry] : document.at("files").items()) {
      entries_[path] = {{entry.at(0), entry.at(1), entry.at(2), entry.at(3)}, entry.at(4)};
    }
  } catch (const std::exception&) {
    entries_.clear();  // a cache may be rebuilt at any time
  }
}

void DigestCache::save() {
  if (!changed_ || cache_file_.empty()) return;
  Json files = Json::object();
  for (const auto& [path, entry] : entries_) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) continue;
    const Stamp& stamp = entry.stamp;
    files[path] =
        Json::array({stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, entry.sha256});
  }
  write_file_atomic(cache_file_, Json{{"format", kFormat}, {"files", files}}.dump() + "\n");
  changed_ = false;
}

void DigestCache::hash_all(std::span<const fs::path> paths) {
  struct Work {
    std::string key;
    Entry entry;
    bool fresh;
  };
  std::vector<Work> work;
  for (const fs::path& path : paths) {
    const Stamp stamp = stamp_of(path);
    const auto found = entries_.find(key_of(path));
    if (found == entries_.end() || found->second.stamp != stamp || found->second.sha256.empty())
      work.push_back({key_of(path), {stamp, ""}, now_ns() - stamp.ctime_ns < kFreshNs});
  }
  parallel_for(static_cast<int64_t>(work.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Work& item = work[static_cast<size_t>(i)];
      item.entry.sha256 = sha256_file(item.key);
    }
  });
  for (Work& item : work) {
    if (item.fresh) item.entry.stamp.size = -1;  // no file has this size: hashed again next time
    entries_[item.key] = std::move(item.entry);
    changed_ = true;
  }
}

std::string DigestCache::file(const fs::path& path) {
  hash_all({&path, 1});
  return entries_.at(key_of(path)).sha256;
}

std::vector<FileDigest> DigestCache::hashed(const fs::path& folder,
                                            const std::vector<std::string>& names) {
  std::vector<fs::path> paths;
  for (const std::string& name : names) paths.push_back(folder / name);
  hash_all(paths);
  std::vector<FileDigest> result;
  for (size_t i = 0; i < paths.size(); ++i) {
    result.push_back({names[i], entries_.at(key_of(paths[i])).sha256,
                      static_cast<int64_t>(fs::file_size(paths[i]))});
  }
  return result;
}

std::vector<FileDigest> DigestCache::files(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored))
    throw Error({.what = "is not a folder", .where = folder.string()});
  Listing listing;
  list_folder(folder, folder, listing);
  std::vector<FileDigest> result = hashed(folder, listing.files);
  for (const std::string& name : listing.models) {
    const std::vector<FileDigest> content = files(folder / name);
    int64_t bytes = 0;
    for (const FileDigest& file : content) bytes += file.bytes;
    result.push_back({name + "/", list_digest(content), bytes});
  }
  std::sort(result.begin(), result.end(),
            [](const FileDigest& a, const FileDigest& b) { return a.name < b.name; });
  return result;
}

std::string DigestCache::data(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return file(path);
  Listing listing;
  list_data(path, path, listing);
  return list_digest(hashed(path, listing.files));
}

std::string DigestCache::path(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) ? folder(path) : file(path);
}

}  // namespace gradus
