// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/error.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

constexpr const char* kStepPrefix = "step-";
constexpr const char* kBestPrefix = "best-";

std::string numbered(const char* prefix, int64_t step) {
  char text[48];
  std::snprintf(text, sizeof text, "%s%08lld", prefix, static_cast<long long>(step));
  return text;
}

std::vector<fs::path> entries(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().rfind(prefix, 0) == 0) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Tensors are copied to the host one at a time.
void write_states(const fs::path& file, const std::vector<AdamWState>& states) {
  std::vector<TensorSource> sources;
  at::Tensor host;
  for (const AdamWState& state : states) {
    sources.push_back(
        {.name = state.name,
         .dtype = safetensors_dtype(state.tensor.scalar_type()),
         .shape = state.tensor.sizes().vec(),
         .bytes = [tensor = state.tensor, &host]() -> std::span<const std::byte> {
           host = tensor.to(at::kCPU).contiguous();
           return {static_cast<const std::byte*>(host.const_data_ptr()), host.nbytes()};
         }});
  }
  stream_safetensors(file, std::move(sources));
}

void read_states(const fs::path& path, const std::vector<AdamWState>& states) {
  const at::NoGradGuard no_gradients;
  const SafetensorsFile file(path);
  for (const AdamWState& state : states) {
    const std::string where = path.string() + ": " + state.name;
    const at::Tensor stored = view_of(file.at(state.name), where);
    if (!stored.sizes().equals(state.tensor.sizes()))
      throw Error({.what = "has the wrong shape",
                   .where = where,
                   .hint = "the checkpoint is of another model; remove the run folder"});
    at::Tensor target = state.tensor;
    target.copy_(stored);
  }
}

std::vector<AdamWState> weights(const std::vector<TrainedParameter>& parameters) {
  std::vector<AdamWState> list;
  for (const TrainedParameter& parameter : parameters) {
    for (const ParameterPart& part : parameter.parts)
      list.push_back({part.name, parameter.leaf.detach().narrow(0, part.first, part.rows)});
  }
  return list;
}

}  // namespace

Json progress_json(const RunProgress& p) {
  return {{"format", "gradus-progress/1"},
          {"step", p.step},
          {"tokens", p.tokens},
          {"supervised_tokens", p.supervised_tokens},
          {"seconds", p.seconds},
          {"flops", p.flops},
          {"loss", p.loss},
          {"evaluated_step", p.evaluated_step},
          {"best_step", p.best.step},
          {"best_loss", p.best.loss},
          {"evaluations_since_best", p.best.evaluations_since},
          {"evaluations", p.evaluations},
          {"metrics_bytes", p.metrics.metrics_bytes},
          {"events_bytes", p.metrics.events_bytes},
          {"inputs", p.inputs}};
}

RunProgress progress_from_json(const Json& json, const std::string& where) {
  const auto whole = [&](const char* key) { return json_get<int64_t>(json, key, where); };
  const auto real = [&](const char* key) { return json_get<double>(json, key, where); };
  return {.step = whole("step"),
          .tokens = whole("tokens"),
          .supervised_tokens = whole("supervised_tokens"),
          .seconds = real("seconds"),
          .flops = real("flops"),
          .loss = real("loss"),
          .evaluated_step = whole("evaluated_step"),
          .best = {whole("best_step"), real("best_loss"), whole("evaluations_since_best")},
          .evaluations = json_get<Json>(json, "evaluations", where),
          .metrics = {whole("metrics_bytes"), whole("events_bytes")},
          .inputs = json_get<Json>(json, "inputs", where)};
}

CheckpointStore::CheckpointStore(const fs::path& folder, int64_t keep_last)
    : folder_(folder), keep_last_(keep_last) {
  fs::create_directories(folder_);
  for (const fs::path& path : entries(folder_, "")) {
    const std::string name = path.filename().string();
    if (name.find(".tmp-") != std::string::npos || name.find(".old-") != std::string::npos)
      fs::remove_all(path);
  }
}

std::optional<fs::path> CheckpointStore::latest() const {
  const auto all = entries(folder_, kStepPrefix);
  return all.empty() ? std::nullopt : std::optional(all.back());
}

void CheckpointStore::save(const RunProgress& progress,
                           const std::vector<AdamWState>& states) const {
  AtomicFolder folder(folder_ / numbered(kStepPrefix, progress.step),
                      AtomicFolder::Existing::kReplace);
  write_states(folder.path() / "optimizer.safetensors", states);
  write_json(folder.path() / "progress.json", progress_json(progress));
  folder.commit();
  prune(progress);
}

// Best weights go once no kept checkpoint refers to them.
void CheckpointStore::prune(const RunProgress& newest) const {
  auto steps = entries(folder_, kStepPrefix);
  std::set<std::string> wanted = {numbered(kBestPrefix, newest.best.step)};
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i + static_cast<size_t>(keep_last_) < steps.size()) {
      fs::remove_all(steps[i]);
      continue;
    }
    const fs::path file = steps[i] / "progress.json";
    wanted.insert(
        numbered(kBestPrefix, progress_from_json(read_json(file), file.string()).best.step));
  }
  for (const fs::path& best : entries(folder_, kBestPrefix)) {
    if (!wanted.contains(best.filename().string())) fs::remove_all(best);
  }
}

RunProgress CheckpointStore::load(const fs::path& checkpoint,
                                  const std::vector<AdamWState>& states) const {
  const fs::path file = checkpoint / "progress.json";
  RunProgress progress = progress_from_json(read_json(file), file.string());
  read_states(checkpoint / "optimizer.safetensors", states);
  return progress;
}

void CheckpointStore::save_best(int64_t step,
                                const std::vector<TrainedParameter>& parameters) const {
  AtomicFolder folder(folder_ / numbered(kBestPrefix, step), AtomicFolder::Existing::kReplace);
  write_states(folder.path() / "weights.safetensors", weights(parameters));
  folder.commit();
}

void CheckpointStore::load_best(int64_t step,
                                const std::vector<TrainedParameter>& parameters) const {
  read_states(folder_ / numbered(kBestPrefix, step) / "weights.safetensors", weights(parameters));
}

}  // namespace gradus
