// SPDX-License-Identifier: Apache-2.0
// Names for content: the SHA-256 of files and of folders, remembered between runs.
//
// A folder's digest is the SHA-256 of its content list: one line "<sha256>  <relative name>\n" per
// file, sorted by name, so `sha256sum FILES | LC_ALL=C sort -k2 | sha256sum` gives the same. Which
// files count depends on the folder:
// - a model folder (it holds config.json or adapter_config.json): only is_model_content(name) at
//   its top; notes such as lineage.json or README.md may change without a new digest;
// - any other folder: every file below it, except records of how a run went (is_run_record), with
//   a model folder inside it standing as one entry by its own digest.
// A data set is not written by Gradus, and no name in it means anything: every file below it counts
// but those that are hidden (DigestCache::data).
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace gradus {

// The files that a tokenizer may be read from, the chat template left out.
bool is_tokenizer_file(std::string_view name);
// Weights, configuration, tokenizer and chat template of a model or adapter.
bool is_model_content(std::string_view name);
bool is_model_folder(const fs::path& folder);
// Names of files and folders that tell of a run and differ from one run to the next: hidden and
// temporary files, metrics.jsonl, TensorBoard events, logs, checkpoints, recipe.yaml, lineage.json,
// summary.json, data_report.json, performance.json, report.html/.json/.txt (they hold times),
// README.md.
bool is_run_record(std::string_view name);

struct FileDigest {
  std::string name;  // relative to the folder, '/' between parts
  std::string sha256;
  int64_t bytes = 0;
};

// The digest of a content list; sorts a copy by name.
std::string list_digest(std::vector<FileDigest> files);

// Digests, remembered by path, size, time of change and inode, so that an unchanged model is read
// once. Not safe for use from several threads; hashes on several itself. Symbolic links are
// followed. A folder holding more than kMaxFolderFiles files is refused.
class DigestCache {
 public:
  static constexpr size_t kMaxFolderFiles = 100'000;

  DigestCache() = default;                    // remembers for its own lifetime only
  explicit DigestCache(fs::path cache_file);  // an unreadable or foreign file counts as empty

  std::string file(const fs::path& path);
  // The content list of a folder, sorted by name.
  std::vector<FileDigest> files(const fs::path& folder);
  std::string folder(const fs::path& path) { return list_digest(files(path)); }
  // A data set: file(), or the digest of every file below a folder but the hidden ones.
  std::string data(const fs::path& path);
  // file() or folder(), whichever `path` is; throws gradus::Error when it is neither.
  std::string path(const fs::path& path);
  // Writes the cache file if anything changed. Losing it costs time only.
  void save();

 private:
  struct Stamp {
    int64_t size, mtime_ns, ctime_ns;
    uint64_t inode;
    bool operator==(const Stamp&) const = default;
  };
  struct Entry {
    Stamp stamp;
    std::string sha256;
  };
  static Stamp stamp_of(const fs::path& path);
  void load();
  void hash_all(std::span<const fs::path> paths);
  std::vector<FileDigest> hashed(const fs::path& folder, const std::vector<std::string>& names);

  fs::path cache_file_;
  std::map<std::string, Entry> entries_;  // by absolute path
  bool changed_ = false;
};

}  // namespace gradus
