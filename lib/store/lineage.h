// SPDX-License-Identifier: Apache-2.0
// lineage.json: where a model comes from. It lies in every model and adapter folder that Gradus
// writes, and holds the digests of its parents, data, tokenizer and template, the resolved recipe,
// evaluations, gates and licences. Format: docs/format_lineage.md.
//
// The lineage is a note about the content: it is not part of the folder's digest, so evaluations
// and gates can be added later. A summary of each parent's lineage is embedded, so the chain back
// to L0 can be read after the parents have moved or gone.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"

namespace gradus {

enum class LineageKind { kImported, kPretrainContinue, kSft, kDistill, kQuantize, kMerge };

std::string to_string(LineageKind kind);

// A model or adapter folder, or (role "source") a file, that this model was made from.
struct LineageParent {
  std::string role;  // "base", "teacher", "adapter" or "source"
  std::string digest;
  std::string path;        // relative to the folder of this lineage
  std::string hub = {};    // "hf://owner/name@COMMIT" when it came from a hub
  Json lineage = nullptr;  // summary of the parent's own lineage, or null
};

struct LineageData {
  std::string name;
  std::vector<FileDigest> files;  // FileDigest::name is the path that the recipe gave
  int64_t documents = 0;
  int64_t tokens = 0;
  std::string licence;
  double share = 0;  // of all tokens trained on, 0 to 1
};

struct LineageGate {
  std::string name;
  std::string metric;
  std::string rule;  // "minimum", "maximum", "no_worse_than", "better_than"
  double bound = 0;
  double value = 0;
  bool passed = false;
};

struct LineageLicence {
  std::string input;  // "base", a data set's name
  std::string licence;
  bool operator==(const LineageLicence&) const = default;
};

struct Lineage {
  LineageKind kind = LineageKind::kImported;
  std::string digest;             // of the folder's content, see base/digest.h
  std::vector<FileDigest> files;  // the content list, to name what changed
  std::string created;            // "2025-01-31T12:00:00Z"
  std::string program_version;    // of the gradus that made it
  std::vector<LineageParent> parents = {};
  std::vector<LineageData> data = {};
  Json recipe = nullptr;               // resolved
  Json training = nullptr;             // steps, tokens, final losses
  std::string tokenizer_digest;        // "" when the folder has no tokenizer (an adapter)
  std::string template_digest;         // "" when there is no chat template
  std::vector<Json> evaluations = {};  // each an object with a "name"
  std::vector<LineageGate> gates = {};
  std::vector<LineageLicence> licences = {};
};

Json lineage_json(const Lineage& lineage);
// What a child embeds: all but files, recipe, training and evaluations.
Json lineage_summary(const Lineage& lineage);
// Throws gradus::Error naming `where` and the key for anything missing, of the wrong type or not a
// digest, and for chains of more than 64 parents.
Lineage lineage_from_json(const Json& json, const std::string& where);

bool has_lineage(const fs::path& folder);
Lineage read_lineage(const fs::path& folder);
void write_lineage(const fs::path& folder, const Lineage& lineage);

// SHA-256 over the text of the chat template; "" without one.
std::string template_digest(const fs::path& folder, DigestCache& cache);

// Adds the result of an evaluation to a folder's lineage; one of the same "name" is replaced.
// Safe against other processes doing the same.
void append_evaluation(const fs::path& folder, const Json& evaluation);
void append_gates(const fs::path& folder, const std::vector<LineageGate>& gates);

// Collects what a command knows, then writes lineage.json into the finished model folder.
class LineageBuilder {
 public:
  LineageBuilder(LineageKind kind, DigestCache& cache) : cache_(cache) { lineage_.kind = kind; }

  // The folder's digest and, where it has one, its lineage and its licences; without a lineage,
  // the licence that its README.md names. `folder` must exist.
  LineageBuilder& parent(const std::string& role, const fs::path& folder);
  // A file that was imported, with its licence ("" if unknown).
  LineageBuilder& source(const fs::path& file, const std::string& licence);
  LineageBuilder& data(LineageData data);
  LineageBuilder& recipe(Json recipe);
  LineageBuilder& training(Json training);
  LineageBuilder& gate(LineageGate gate);
  LineageBuilder& evaluation(Json evaluation);
  // Call last: digests `folder` as it is now. Parents are recorded relative to it, so a folder
  // still under its temporary name must lie beside its final place.
  Lineage write(const fs::path& folder);

 private:
  void add_licence(LineageLicence licence);

  DigestCache& cache_;
  Lineage lineage_;
  std::vector<fs::path> parent_paths_;
};

}  // namespace gradus
